//! Links: no transaction sees half of a change, and what cannot be done in time is taken back.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use liveline_runtime::{ObjectRef, class, interface};
use liveline_services::links::{ChangeError, Configuration, Node, Port};

/// Longer than anything takes that ends.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

#[interface]
trait Number {
    fn number(&self) -> u64;
}

struct Fixed(u64);

#[class]
impl Number for Fixed {
    fn number(&self) -> u64 {
        self.0
    }
}

/// Answers by what its own port leads to.
struct Relay {
    node: Node,
    port: Port<dyn Number>,
}

#[class]
impl Number for Relay {
    fn number(&self) -> u64 {
        let transaction = self.node.begin();
        self.port.within(&transaction).unwrap().number()
    }
}

fn fixed(number: u64) -> ObjectRef<dyn Number> {
    ObjectRef::new(Fixed(number))
}

#[test]
fn a_transaction_sees_all_links_of_one_moment() {
    const CHANGES: u64 = if cfg!(miri) { 10 } else { 300 };
    let configuration = Configuration::new();
    let caller = configuration.node("caller");
    let ports: Vec<Port<dyn Number>> = (0..3).map(|n| caller.port(&format!("p{n}"))).collect();
    let change = |number| {
        // A new node each time; the one of before is removed in the same change.
        let node = configuration.node(&format!("node {number}"));
        let offer = node.offer("number", fixed(number));
        let change = ports.iter().fold(configuration.change(), |change, port| change.link(port, &offer));
        (node, change)
    };
    let (mut before, first) = change(0);
    first.commit(LONG).unwrap();
    let newest = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let least = newest.load(Ordering::SeqCst);
                    let transaction = caller.begin();
                    let seen = ports.iter().map(|port| {
                        thread::yield_now();
                        port.within(&transaction).unwrap().number()
                    });
                    let seen: Vec<_> = seen.collect();
                    assert!(seen.iter().all(|n| *n == seen[0]), "half of a change: {seen:?}");
                    assert!(seen[0] >= least, "an old link after its change");
                }
            });
        }
        for number in 1..=CHANGES {
            let (node, change) = change(number);
            change.remove(&before).commit(LONG).unwrap();
            newest.store(number, Ordering::SeqCst);
            before = node;
        }
        stop.store(true, Ordering::Relaxed);
    });
    let links = configuration.links();
    assert_eq!(links.len(), 3);
    assert!(links.iter().all(|link| link.to == format!("node {CHANGES}")), "{links:?}");
}

#[test]
fn a_change_that_does_not_get_its_turn_is_taken_back() {
    let configuration = Configuration::new();
    let (caller, old, new) =
        (configuration.node("caller"), configuration.node("old"), configuration.node("new"));
    let port = caller.port::<dyn Number>("out");
    configuration.link(&port, &old.offer("number", fixed(1))).unwrap();
    let offer = new.offer("number", fixed(2));
    thread::scope(|scope| {
        let (began, wait) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let (caller, port) = (&caller, &port);
        scope.spawn(move || {
            let transaction = caller.begin();
            began.send(()).unwrap();
            ended.recv().unwrap();
            assert_eq!(port.within(&transaction).unwrap().number(), 1);
        });
        wait.recv().unwrap();
        let busy = configuration.change().link(port, &offer).commit(SHORT).unwrap_err();
        assert_eq!(busy, ChangeError::Busy { node: "caller".into(), transactions: 1 });
        // It begins transactions again, with the links of before.
        let transaction = caller.begin();
        assert_eq!(port.within(&transaction).unwrap().number(), 1);
        let inside = configuration.change().link(port, &offer).commit(LONG).unwrap_err();
        assert_eq!(inside, ChangeError::FromInside("caller".into()));
        drop(transaction);
        end.send(()).unwrap();
    });
    configuration.change().link(&port, &offer).commit(LONG).unwrap();
    let transaction = caller.begin();
    assert_eq!(port.within(&transaction).unwrap().number(), 2);
}

#[test]
fn what_a_transaction_leads_to_is_let_in_while_a_change_waits() {
    let configuration = Configuration::new();
    let (front, relay) = (configuration.node("front"), configuration.node("relay"));
    let (source, next) = (configuration.node("source"), configuration.node("next"));
    let (out, deeper) = (front.port::<dyn Number>("out"), relay.port::<dyn Number>("deeper"));
    let relayed: ObjectRef<dyn Number> = ObjectRef::new(Relay { node: relay.clone(), port: deeper.clone() });
    configuration.link(&deeper, &source.offer("number", fixed(1))).unwrap();
    configuration.link(&out, &relay.offer("relayed", relayed)).unwrap();
    let (offer, other) = (next.offer("number", fixed(2)), next.offer("other", fixed(3)));
    thread::scope(|scope| {
        let transaction = front.begin();
        let both = configuration.change().link(&deeper, &offer).link(&out, &other);
        let changing = scope.spawn(move || both.commit(LONG));
        // The relay becomes passive, and still answers the transaction for which the change waits.
        for _ in 0..200 {
            assert_eq!(out.within(&transaction).unwrap().number(), 1);
            thread::yield_now();
        }
        assert!(!changing.is_finished());
        drop(transaction);
        changing.join().unwrap().unwrap();
    });
    let transaction = front.begin();
    assert_eq!(out.within(&transaction).unwrap().number(), 3);
}

#[test]
fn nodes_that_are_led_to_stay_and_removed_ones_lead_nowhere() {
    let configuration = Configuration::new();
    let (caller, called) = (configuration.node("caller"), configuration.node("called"));
    let port = caller.port::<dyn Number>("out");
    assert_eq!(
        port.within(&caller.begin()).err().unwrap().to_string(),
        "port caller.out to a Number leads nowhere"
    );
    let offer = called.offer("number", fixed(1));
    configuration.link(&port, &offer).unwrap();
    let refused = configuration.change().remove(&called).commit(LONG).unwrap_err();
    assert_eq!(refused.to_string(), "called cannot be removed: caller.out leads to it");
    assert_eq!(port.within(&caller.begin()).unwrap().number(), 1);
    configuration.change().remove(&caller).commit(LONG).unwrap();
    assert!(port.within(&caller.begin()).is_err());
    assert_eq!(configuration.links(), []);
    let gone = configuration.link(&port, &offer).unwrap_err();
    assert!(matches!(gone, ChangeError::Removed(_)), "{gone}");
    configuration.change().remove(&called).commit(LONG).unwrap();
}
