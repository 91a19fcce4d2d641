//! Draws a load through its updates: requests a second, latency, and every request around each update.

use std::fmt::Write as _;

use crate::load::{Bucket, Recording};

/// What to draw.
#[derive(Clone, Debug)]
pub struct Figure<'a> {
    /// Heading.
    pub title: &'a str,
    /// A line below it.
    pub subtitle: &'a str,
    /// The load.
    pub recording: &'a Recording,
    /// Width of one point of the lines, in ms.
    pub bucket_ms: f64,
    /// The updates.
    pub marks: &'a [Mark],
    /// What a probe of the fixed behaviour saw.
    pub probe: Option<Band<'a>>,
}

/// An update: a line through all panels.
#[derive(Clone, Debug)]
pub struct Mark {
    /// When the command began, in ms since the load began.
    pub from_ms: f64,
    /// When it ended.
    pub to_ms: f64,
    /// `apply`, `revert`, …
    pub label: String,
}

/// A row of ticks: the behaviour seen by a probe.
#[derive(Clone, Debug)]
pub struct Band<'a> {
    /// What the row shows.
    pub title: &'a str,
    /// Legend of a tick that shows the bug.
    pub wrong: &'a str,
    /// Legend of a tick that shows the fix.
    pub right: &'a str,
    /// When (ms since the load began), and whether it was right.
    pub ticks: &'a [(f64, bool)],
}

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 976.0;
const BAND_TOP: f64 = 108.0;
const RATE: Panel = Panel { top: 156.0, bottom: 296.0 };
const LATENCY: Panel = Panel { top: 346.0, bottom: 546.0 };
const CLOSE: Panel = Panel { top: 648.0, bottom: 808.0 };
const HEIGHT: f64 = 866.0;
/// Half the width of a close-up, in ms.
const CLOSE_MS: f64 = 120.0;

const STYLE: &str = "\
text{font:13px system-ui,'Segoe UI','DejaVu Sans',sans-serif;fill:#3b3a37}\
.title{font-size:20px;font-weight:600;fill:#141413}.head{font-weight:600;fill:#141413}.small{font-size:12px}\
.end{text-anchor:end}.mid{text-anchor:middle}\
.page{fill:#fcfcfb}.grid{stroke:#e2e1dc;fill:none}.axis{stroke:#8f8d86;fill:none}\
.rate{stroke:#2a78d6;fill:none;stroke-width:1.6}.rate-area{fill:#2a78d6;fill-opacity:.13}\
.p50{stroke:#2a78d6;fill:none;stroke-width:1.8}.p99{stroke:#b87700;fill:none;stroke-width:1.6}\
.max{stroke:#c23b6e;fill:none;stroke-width:1.1}\
.dots{stroke:#2a78d6;stroke-width:2.6;stroke-linecap:round;stroke-opacity:.55;fill:none}\
.mark{stroke:#4a3aa7;stroke-width:1.5;stroke-dasharray:5 3;fill:none}.span{fill:#4a3aa7;fill-opacity:.14}\
.mark-label{fill:#4a3aa7;font-weight:600}.wrong{fill:#d03b3b}.right{fill:#1a8f5f}\
@media (prefers-color-scheme:dark){text{fill:#c3c2b7}.title,.head{fill:#f5f4ef}.page{fill:#1a1a19}\
.grid{stroke:#363633}.axis{stroke:#7c7b75}.rate,.p50,.dots{stroke:#5a9df0}.rate-area{fill:#5a9df0}\
.p99{stroke:#e0a32e}.max{stroke:#ee7aa5}.mark{stroke:#a99cf5}.span{fill:#a99cf5}.mark-label{fill:#a99cf5}\
.wrong{fill:#ef6a6a}.right{fill:#3fc48b}}";

struct Panel {
    top: f64,
    bottom: f64,
}

/// The figure as an SVG document; it follows the viewer's light or dark scheme.
pub fn svg(figure: &Figure<'_>) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\
         <title>{}</title><style>{STYLE}</style><rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>",
        escape(figure.title)
    );
    label(&mut out, LEFT - 60.0, 34.0, "title", figure.title);
    label(&mut out, LEFT - 60.0, 58.0, "", figure.subtitle);
    let buckets = figure.recording.buckets(figure.bucket_ms);
    // The last bucket is cut off by the end of the load: it would look like a drop.
    let buckets = &buckets[..buckets.len().saturating_sub(1)];
    let total_ms = (buckets.len() as f64 * figure.bucket_ms).max(1.0);
    let x = |ms: f64| LEFT + (RIGHT - LEFT) * (ms / total_ms).clamp(0.0, 1.0);
    band(&mut out, figure, &x);
    time_axis(&mut out, total_ms, &x);
    rate_panel(&mut out, figure, buckets, &x);
    latency_panel(&mut out, buckets, figure.bucket_ms, &x);
    marks(&mut out, figure, &x);
    close_ups(&mut out, figure);
    out.push_str("</svg>\n");
    out
}

fn band(out: &mut String, figure: &Figure<'_>, x: &dyn Fn(f64) -> f64) {
    let Some(probe) = &figure.probe else { return };
    label(out, LEFT, BAND_TOP - 8.0, "head", probe.title);
    let at = LEFT + 9.0 * probe.title.chars().count() as f64;
    square(out, at, BAND_TOP - 8.0, "wrong", probe.wrong);
    square(out, at + 34.0 + 7.5 * probe.wrong.chars().count() as f64, BAND_TOP - 8.0, "right", probe.right);
    for &(at, right) in probe.ticks {
        let class = if right { "right" } else { "wrong" };
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{BAND_TOP}\" width=\"2.6\" height=\"14\"/>",
            x(at) - 1.3
        );
    }
}

fn time_axis(out: &mut String, total_ms: f64, x: &dyn Fn(f64) -> f64) {
    let step = nice_step(total_ms / 1000.0, 10.0);
    let mut second = 0.0;
    while second * 1000.0 <= total_ms {
        let at = x(second * 1000.0);
        line(out, "grid", at, RATE.top, at, RATE.bottom);
        line(out, "grid", at, LATENCY.top, at, LATENCY.bottom);
        label(out, at, LATENCY.bottom + 18.0, "mid small", &format!("{second}"));
        second += step;
    }
    label(out, (LEFT + RIGHT) / 2.0, LATENCY.bottom + 38.0, "mid", "seconds since the load began");
}

fn rate_panel(out: &mut String, figure: &Figure<'_>, buckets: &[Bucket], x: &dyn Fn(f64) -> f64) {
    let rate = |b: &Bucket| b.requests as f64 * 1000.0 / figure.bucket_ms;
    let highest = buckets.iter().map(rate).fold(1.0, f64::max);
    let step = nice_step(highest * 1.1, 4.0);
    let top = (highest * 1.1 / step).ceil() * step;
    let y = |v: f64| RATE.bottom - (RATE.bottom - RATE.top) * v / top;
    label(out, LEFT, RATE.top - 10.0, "head", "Requests per second, all answers checked");
    let mut tick = 0.0;
    while tick <= top + step / 2.0 {
        line(out, "grid", LEFT, y(tick), RIGHT, y(tick));
        label(out, LEFT - 8.0, y(tick) + 4.0, "end small", &thousands(tick));
        tick += step;
    }
    let points: Vec<_> =
        buckets.iter().map(|b| (x(b.start_ms + figure.bucket_ms / 2.0), y(rate(b)))).collect();
    if let (Some(first), Some(last)) = (points.first(), points.last()) {
        let base = RATE.bottom;
        let _ = write!(
            out,
            "<path class=\"rate-area\" d=\"M{:.1} {base}{}L{:.1} {base}Z\"/>",
            first.0,
            path(&points, 'L'),
            last.0
        );
    }
    polyline(out, "rate", &points);
    line(out, "axis", LEFT, RATE.bottom, RIGHT, RATE.bottom);
}

fn latency_panel(out: &mut String, buckets: &[Bucket], bucket_ms: f64, x: &dyn Fn(f64) -> f64) {
    label(out, LEFT, LATENCY.top - 10.0, "head", "Latency");
    for (i, (class, name)) in
        [("p50", "median"), ("p99", "99th percentile"), ("max", "slowest")].iter().enumerate()
    {
        let at = LEFT + 80.0 + [0.0, 95.0, 240.0][i];
        line(out, class, at, LATENCY.top - 14.0, at + 22.0, LATENCY.top - 14.0);
        label(out, at + 28.0, LATENCY.top - 10.0, "small", name);
    }
    let busy: Vec<_> = buckets.iter().filter(|b| b.requests > 0).collect();
    let low = busy.iter().map(|b| b.p50_us).fold(f64::INFINITY, f64::min);
    let high = busy.iter().map(|b| b.max_us).fold(0.0, f64::max);
    let scale = LogScale::over(low, high, LATENCY.top, LATENCY.bottom);
    scale.draw(out, LEFT, RIGHT);
    type Pick = fn(&Bucket) -> f64;
    let lines: [(&str, Pick); 3] = [("max", |b| b.max_us), ("p99", |b| b.p99_us), ("p50", |b| b.p50_us)];
    for (class, pick) in lines {
        let points: Vec<_> =
            busy.iter().map(|b| (x(b.start_ms + bucket_ms / 2.0), scale.y(pick(b)))).collect();
        polyline(out, class, &points);
    }
    line(out, "axis", LEFT, LATENCY.bottom, RIGHT, LATENCY.bottom);
}

fn marks(out: &mut String, figure: &Figure<'_>, x: &dyn Fn(f64) -> f64) {
    for mark in figure.marks {
        let at = x(mark.to_ms);
        // Only inside the panels: a line through the headings would make them hard to read.
        for (top, bottom) in
            [(BAND_TOP, BAND_TOP + 14.0), (RATE.top, RATE.bottom), (LATENCY.top, LATENCY.bottom)]
        {
            line(out, "mark", at, top, at, bottom);
        }
        label(out, at, BAND_TOP - 30.0, "mid mark-label", &mark.label);
    }
}

fn close_ups(out: &mut String, figure: &Figure<'_>) {
    // Many updates would make slivers: the first ones show what happens.
    let shown = &figure.marks[..figure.marks.len().min(4)];
    if shown.is_empty() {
        return;
    }
    label(
        out,
        LEFT,
        CLOSE.top - 34.0,
        "head",
        "Every request around each update (a dot each; shaded: the command ran)",
    );
    let near = |mark: &Mark| {
        let middle = (mark.from_ms + mark.to_ms) / 2.0;
        let samples = figure.recording.samples.iter();
        samples
            .map(move |s| (f64::from(s.at_us) / 1000.0 - middle, f64::from(s.took_ns) / 1000.0))
            .filter(|(at, _)| at.abs() <= CLOSE_MS)
    };
    let all = || shown.iter().flat_map(near).map(|(_, took)| took);
    let low = all().fold(f64::INFINITY, f64::min);
    let scale = LogScale::over(low, all().fold(0.0, f64::max), CLOSE.top, CLOSE.bottom);
    let gap = 26.0;
    let width = (RIGHT - LEFT - gap * (shown.len() - 1) as f64) / shown.len() as f64;
    for (i, mark) in shown.iter().enumerate() {
        let left = LEFT + (width + gap) * i as f64;
        let x = |ms: f64| left + width * (ms + CLOSE_MS) / (2.0 * CLOSE_MS);
        if i == 0 {
            scale.draw(out, left, left + width);
        } else {
            scale.draw_lines(out, left, left + width);
        }
        let half = (mark.to_ms - mark.from_ms) / 2.0;
        let (from, to) = (x(-half.min(CLOSE_MS)), x(half.min(CLOSE_MS)));
        let _ = write!(
            out,
            "<rect class=\"span\" x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\"/>",
            CLOSE.top,
            (to - from).max(1.0),
            CLOSE.bottom - CLOSE.top
        );
        let mut dots = String::new();
        for (at, took) in near(mark) {
            let _ = write!(dots, "M{:.1} {:.1}h0", x(at), scale.y(took));
        }
        let _ = write!(out, "<path class=\"dots\" d=\"{dots}\"/>");
        line(out, "axis", left, CLOSE.bottom, left + width, CLOSE.bottom);
        for tick in [-100.0, -50.0, 0.0, 50.0, 100.0] {
            line(out, "axis", x(tick), CLOSE.bottom, x(tick), CLOSE.bottom + 4.0);
            label(out, x(tick), CLOSE.bottom + 18.0, "mid small", &format!("{tick:+}").replace("+0", "0"));
        }
        label(out, left + 2.0, CLOSE.top - 10.0, "mark-label", &mark.label);
    }
    // Once for all: under each of four it would run into its neighbour.
    label(out, (LEFT + RIGHT) / 2.0, CLOSE.bottom + 38.0, "mid", "ms from the middle of the command");
}

/// A logarithmic axis for latencies, in whole decades of µs.
struct LogScale {
    low: i32,
    high: i32,
    top: f64,
    bottom: f64,
}

impl LogScale {
    fn over(low_us: f64, high_us: f64, top: f64, bottom: f64) -> Self {
        let low = if low_us.is_finite() && low_us > 0.0 { low_us.log10().floor() as i32 } else { 1 };
        let high = if high_us > 0.0 { high_us.log10().ceil() as i32 } else { 3 };
        LogScale { low, high: high.max(low + 1), top, bottom }
    }

    fn y(&self, us: f64) -> f64 {
        let part = (us.max(1e-3).log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        self.bottom - (self.bottom - self.top) * part.clamp(0.0, 1.0)
    }

    fn draw(&self, out: &mut String, left: f64, right: f64) {
        self.draw_lines(out, left, right);
        for decade in self.low..=self.high {
            let us = 10f64.powi(decade);
            let words = match decade {
                6.. => format!("{} s", us / 1e6),
                3.. => format!("{} ms", us / 1e3),
                _ => format!("{us} µs"),
            };
            label(out, left - 8.0, self.y(us) + 4.0, "end small", &words);
        }
    }

    fn draw_lines(&self, out: &mut String, left: f64, right: f64) {
        for decade in self.low..=self.high {
            let y = self.y(10f64.powi(decade));
            line(out, "grid", left, y, right, y);
        }
    }
}

/// A step of 1, 2 or 5 times a power of ten that cuts `range` into at most `parts`.
fn nice_step(range: f64, parts: f64) -> f64 {
    let rough = (range / parts).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * 0.999).unwrap_or(10.0 * power)
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

fn path(points: &[(f64, f64)], first: char) -> String {
    let mut d = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(d, "{}{x:.1} {y:.1}", if i == 0 { first } else { 'L' });
    }
    d
}

fn polyline(out: &mut String, class: &str, points: &[(f64, f64)]) {
    let _ = write!(out, "<path class=\"{class}\" d=\"{}\"/>", path(points, 'M'));
}

fn line(out: &mut String, class: &str, x1: f64, y1: f64, x2: f64, y2: f64) {
    let _ = write!(out, "<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>");
}

fn label(out: &mut String, x: f64, y: f64, class: &str, text: &str) {
    let _ = write!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(text));
}

fn square(out: &mut String, x: f64, y: f64, class: &str, text: &str) {
    let _ =
        write!(out, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\"/>", y - 9.0);
    label(out, x + 16.0, y, "small", text);
}

/// Text made safe for XML and HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_steps_are_round() {
        assert_eq!(nice_step(12.0, 10.0), 2.0);
        assert_eq!(nice_step(9000.0, 4.0), 5000.0);
        assert_eq!(thousands(1_234_567.0), "1 234 567");
        assert_eq!(thousands(50.0), "50");
    }

    #[test]
    fn an_empty_load_still_draws() {
        let recording = Recording::default();
        let marks = [Mark { from_ms: 1.0, to_ms: 2.0, label: "a < b".into() }];
        let figure = Figure {
            title: "T",
            subtitle: "",
            recording: &recording,
            bucket_ms: 20.0,
            marks: &marks,
            probe: None,
        };
        let text = svg(&figure);
        assert!(text.contains("a &lt; b") && text.ends_with("</svg>\n") && !text.contains("NaN"));
    }
}
