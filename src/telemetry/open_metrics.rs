//! From numbers to `OpenMetrics` text (version 1.0.0), which has exemplars; the crate for Prometheus's
//! own text has none.

use std::fmt::{self, Write};

use prometheus::proto::{Metric, MetricType};

use super::exemplar::Exemplar;
use super::names::Family;

/// What stands at the end of a text.
pub(super) const END: &str = "# EOF\n";

/// A metric, and for a histogram an exemplar of each bucket.
pub(super) type Sample = (Metric, Vec<Option<Exemplar>>);

/// Of a sample that is no bucket's.
const NO_BUCKET: (Option<&str>, Option<&Exemplar>) = (None, None);

/// Appends a family.
pub(super) fn write(out: &mut String, family: &Family, samples: &[Sample]) -> fmt::Result {
    let kind = format!("{:?}", family.kind).to_lowercase();
    // A counter's samples have the suffix, the family has not.
    let name = match family.kind {
        MetricType::COUNTER => family.name.strip_suffix("_total").unwrap_or(family.name),
        _ => family.name,
    };
    writeln!(out, "# TYPE {name} {kind}")?;
    writeln!(out, "# HELP {name} {}", escaped(family.help))?;
    samples.iter().try_for_each(|(metric, exemplars)| match family.kind {
        MetricType::COUNTER => {
            sample(out, (name, "_total"), metric, NO_BUCKET, metric.get_counter().get_value())
        }
        MetricType::HISTOGRAM => histogram(out, name, metric, exemplars),
        _ => sample(out, (name, ""), metric, NO_BUCKET, metric.get_gauge().get_value()),
    })
}

/// Appends a sample of the bucket with this bound, if it is one's, with its exemplar.
fn sample(
    out: &mut String,
    (name, suffix): (&str, &str),
    metric: &Metric,
    (bound, exemplar): (Option<&str>, Option<&Exemplar>),
    value: f64,
) -> fmt::Result {
    write!(out, "{name}{suffix}")?;
    let labels = metric.get_label().iter().map(|label| (label.name(), label.value()));
    let mut before = '{';
    for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
        write!(out, "{before}{name}=\"{}\"", escaped(value))?;
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    write!(out, " {value}")?;
    if let Some(Exemplar { trace, took, at }) = exemplar {
        let (took, at) = (took.as_secs_f64(), at.as_secs_f64());
        write!(out, " # {{trace_id=\"{trace:032x}\"}} {took} {at:.3}")?;
    }
    out.push('\n');
    Ok(())
}

fn histogram(
    out: &mut String,
    name: &str,
    metric: &Metric,
    exemplars: &[Option<Exemplar>],
) -> fmt::Result {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count() as f64;
    // Bounds are written as numbers with a fraction: `1.0`, not `1`.
    let bounded = histogram.get_bucket().iter();
    let bounded = bounded
        .map(|bucket| (format!("{:?}", bucket.upper_bound()), bucket.cumulative_count() as f64));
    let buckets = bounded.chain([("+Inf".to_owned(), count)]);
    for (place, (bound, count)) in buckets.enumerate() {
        let exemplar = exemplars.get(place).and_then(Option::as_ref);
        sample(out, (name, "_bucket"), metric, (Some(&bound), exemplar), count)?;
    }
    sample(out, (name, "_count"), metric, NO_BUCKET, count)?;
    sample(out, (name, "_sum"), metric, NO_BUCKET, histogram.get_sample_sum())
}

/// A text as it stands in help and between quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}
