//! The picture and the figures as one HTML page that needs nothing else.

use std::fmt::Write as _;

use crate::demo::DemoReport;
use crate::picture::escape;
use crate::server::{BUG, FIX};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,'Segoe UI','DejaVu Sans',sans-serif;max-width:1040px;margin:2rem auto;padding:0 1rem;\
background:#fcfcfb;color:#3b3a37}h2{font-size:17px;margin:2rem 0 .5rem}svg{width:100%;height:auto}\
table{border-collapse:collapse;width:100%}th,td{text-align:right;padding:.3rem .6rem;border-bottom:1px solid #e2e1dc}\
th:first-child,td:first-child{text-align:left}pre{overflow-x:auto;padding:.6rem;border:1px solid #e2e1dc}\
.del{color:#b3261e}.ins{color:#137a4c}\
@media (prefers-color-scheme:dark){body{background:#1a1a19;color:#c3c2b7}th,td,pre{border-color:#363633}\
.del{color:#ef6a6a}.ins{color:#3fc48b}}";

pub(crate) fn html(report: &DemoReport, svg: &str) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>liveline demo</title>\
         <style>{STYLE}</style></head><body>\n{svg}\n"
    );
    out.push_str(
        "<h2>The updates</h2><table><tr><th>Update</th><th>Longest stop of a thread</th>\
                  <th>Work on the process</th><th>Whole command</th></tr>",
    );
    for update in &report.updates {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.0} ms</td></tr>",
            escape(&update.what),
            update.longest_stop_us.map_or("–".into(), |us| format!("{us:.0} µs")),
            update.apply_ms.map_or("–".into(), |ms| format!("{ms:.1} ms")),
            update.command_ms
        );
    }
    out.push_str(
        "</table><h2>The load, between the updates</h2><table><tr><th>Running code</th>\
                  <th>Expired keys</th><th>Requests</th><th>Median</th><th>99 %</th><th>Slowest</th></tr>",
    );
    for phase in &report.phases {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{} served stale, {} gone</td><td>{}</td><td>{:.0} µs</td><td>{:.0} µs</td>\
             <td>{:.1} ms</td></tr>",
            escape(&phase.code),
            phase.served_stale,
            phase.gone,
            phase.requests,
            phase.p50_us,
            phase.p99_us,
            phase.max_us / 1000.0
        );
    }
    let _ = write!(
        out,
        "</table><p>{} requests over {} connections to {} threads, every answer checked: {} failed or wrong.</p>",
        report.requests, report.connections, report.threads, report.failed
    );
    let _ = write!(
        out,
        "<h2>The fix</h2><pre><span class=\"del\">-{}</span>\n<span class=\"ins\">+{}</span></pre>",
        escape(BUG),
        escape(FIX)
    );
    out.push_str(
        "<h2>What the comparison of the two builds said</h2><table><tr><th>Function</th>\
                  <th>Verdict</th><th>Reason</th></tr>",
    );
    for verdict in &report.verdicts {
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            escape(&verdict.symbol),
            escape(&verdict.verdict),
            escape(&verdict.reason)
        );
    }
    out.push_str("</table></body></html>\n");
    out
}
