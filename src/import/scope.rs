//! Which directives hold where: contexts are checked, and inner levels hide outer ones.

use super::findings::Findings;
use super::refuse;
use super::table::{self, Contexts, MANY, Row, Rule};
use super::tree::Directive;
use super::variables::Scope;

/// Passes over the tree: what may not stand where it stands, or with so many arguments, is taken
/// out and told, as is what is not known or not carried whatever it says.
pub(super) fn check(
    directives: Vec<Directive>,
    context: Contexts,
    findings: &mut Findings<'_>,
) -> Vec<Directive> {
    let mut kept = Vec::with_capacity(directives.len());
    let mut ended = false;
    for mut directive in directives {
        let Some(row) = table::find(&directive.name.text) else {
            let why = "the importer does not know this directive";
            findings.missing_whole(
                &directive,
                why,
                "if it belongs to a module, see the module's manual",
            );
            kept.extend(refuse::stand_in(&directive, context, findings));
            continue;
        };
        if let Some(fault) = misplaced(&directive, row, context) {
            findings.missing_whole(&directive, &fault, "correct it: nginx refuses it too");
            kept.extend(refuse::stand_in(&directive, context, findings));
            continue;
        }
        if row.name == "include" {
            kept.extend(refuse::unread(&directive, context, findings));
        }
        if ended && ["break", "if", "return", "rewrite", "set"].contains(&row.name) {
            findings.carried_whole(&directive, "it stands behind a `break`, and is not reached");
            continue;
        }
        ended |= row.name == "break";
        match row.rule {
            Rule::Missing => findings.missing_whole(&directive, row.doc, row.instead),
            Rule::Needless => findings.carried_as(&directive, row.doc),
            _ => {}
        }
        let walked = !matches!(row.rule, Rule::Missing | Rule::Needless);
        if let Some(context) = inside(&directive.name.text, context).filter(|_| walked)
            && let Some(inner) = directive.block.take()
        {
            directive.block = Some(check(inner, context, findings));
        }
        kept.push(directive);
    }
    kept
}

/// The context within a block; `None` if its lines are no directives.
fn inside(name: &str, context: Contexts) -> Option<Contexts> {
    Some(match name {
        "http" => Contexts::HTTP,
        "events" => Contexts::EVENTS,
        "server" => Contexts::SERVER,
        "location" => Contexts::LOCATION,
        "upstream" => Contexts::UPSTREAM,
        "limit_except" => Contexts::LIMIT_EXCEPT,
        "if" if context == Contexts::SERVER => Contexts::SERVER_IF,
        "if" => Contexts::LOCATION_IF,
        _ => return None,
    })
}

fn misplaced(directive: &Directive, row: &Row, context: Contexts) -> Option<String> {
    let (least, most) = row.args;
    let count = directive.args.len();
    let is_block = match row.name {
        "server" => context == Contexts::HTTP,
        "http" | "stream" | "events" | "location" | "upstream" | "if" | "limit_except" | "map"
        | "split_clients" | "geo" => true,
        _ => false,
    };
    // What is not carried anyhow, and what may be a family, is not looked at so closely.
    let strict = !matches!(row.rule, Rule::Missing | Rule::Needless | Rule::Content | Rule::Guard);
    if !row.contexts.has(context) {
        Some(format!("it cannot stand in {}", context.name()))
    } else if count < least {
        Some(format!("it needs {least} arguments, and has {count}"))
    } else if most != MANY && count > most {
        Some(format!("it takes at most {most} arguments, and has {count}"))
    } else if strict && is_block && directive.block.is_none() {
        Some("it needs a block in braces".to_owned())
    } else if strict && !is_block && directive.block.is_some() {
        Some("it takes no block in braces".to_owned())
    } else {
        None
    }
}

/// The settings that hold at the innermost of these levels, the outermost of which comes first.
/// A directive is taken over from an outer level only if no inner one has any of its group.
pub(super) fn effective<'t>(levels: &[&'t [Directive]]) -> Vec<(&'t Directive, &'static Row)> {
    let mut found: Vec<(&Directive, &Row)> = Vec::new();
    for (distance, level) in levels.iter().rev().enumerate() {
        let inner = found.len();
        for directive in *level {
            let Some(row) = table::find(&directive.name.text) else { continue };
            let hidden = found[..inner].iter().any(|(_, one)| one.group == row.group);
            if (distance == 0 || row.inherited) && !hidden {
                found.push((directive, row));
            }
        }
    }
    found
}

/// Takes in what `set` says at a level. What an `if` sets is a variable of its own, or not known.
pub(super) fn constants(level: &[Directive], scope: &mut Scope) {
    super::referers::take_in(level, scope);
    for d in level {
        match &*d.name.text {
            "set" => scope.set(d.arg(0), d.arg(1)),
            "auth_request_set" => super::onward::answer_of_auth(d, scope),
            "if" if super::chosen::take_in(level, d, scope) => {}
            "if" => {
                let set = d.inner().iter().filter(|one| one.name.text == "set");
                set.for_each(|one| scope.forget(one.arg(0)));
            }
            _ => {}
        }
    }
}
