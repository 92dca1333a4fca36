//! What is explained, as one JSON document: for the admin API, for `--json`, and for the lines that
//! people read.

use serde_json::{Value, json};

use super::{Choice, Explanation, Refused};

pub(super) fn document(listener: &str, explained: Result<Explanation, Refused>) -> Value {
    let explained = match explained {
        Ok(explained) => explained,
        Err(Refused { status, why }) => {
            return json!({ "listener": listener, "status": status, "error": why });
        }
    };
    let others = explained.others.iter().map(|(name, why)| json!({ "route": name, "why": why }));
    json!({
        "listener": listener, "client": explained.client.to_string(), "path": explained.path,
        "route": explained.route, "answer": explained.action,
        "others": others.collect::<Vec<_>>(),
        "upstreams": explained.upstreams.iter().map(choice).collect::<Vec<_>>(),
    })
}

fn choice(choice: &Choice) -> Value {
    let backends = choice.backends.iter().map(|one| {
        let [admin, probed, passive] = one.states;
        json!({
            "address": one.label, "weight": one.weight, "backup": one.tier > 0, "tier": one.tier,
            "eligible": one.eligible, "but": one.but, "share": one.share,
            "admin": admin, "probed": probed, "passive": passive,
            "in_flight": one.in_flight, "expected_ms": one.expected_ms,
        })
    });
    let terms = choice.terms.iter().map(|(what, says)| json!({ "what": what, "says": says }));
    let retries = choice.retries.iter().map(|(way, then)| json!({ "after": way, "then": then }));
    json!({
        "upstream": choice.upstream, "share": choice.share, "strategy": choice.strategy,
        "key": choice.key, "bound": choice.bound, "order": choice.order,
        "backends": backends.collect::<Vec<_>>(), "retries": retries.collect::<Vec<_>>(),
        "terms": terms.collect::<Vec<_>>(),
    })
}
