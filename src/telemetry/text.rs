//! From numbers to Prometheus text, or to that of `OpenMetrics`.
//!
//! One family is built, encoded and dropped at a time, so that a scrape with ten thousand backends
//! needs memory for its text and one family, not for all of them as objects.

use prometheus::TextEncoder;
use prometheus::proto::MetricType;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily};

use super::cell::{BOUNDS_US, Distribution};
use super::names::Family;
use super::open_metrics::{self, Sample};

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus's text (version 0.0.4).
    Prometheus,
    /// `OpenMetrics` (version 1.0.0), with exemplars.
    OpenMetrics,
}

/// The output under construction.
#[derive(Debug)]
pub(super) struct Text {
    out: String,
    form: Exposition,
}

impl Text {
    pub(super) fn new(form: Exposition) -> Self {
        Self { out: String::new(), form }
    }

    /// Appends a family with the samples that `fill` adds; a family without samples is left out.
    pub(super) fn family(&mut self, family: &Family, fill: impl FnOnce(&mut Samples<'_>)) {
        let mut samples = Samples { family, all: Vec::new() };
        fill(&mut samples);
        if samples.all.is_empty() {
            return;
        }
        // The encoder refuses only families without name or samples, and a String takes all.
        let written = match self.form {
            Exposition::Prometheus => self.prometheus(family, samples.all),
            Exposition::OpenMetrics => {
                open_metrics::write(&mut self.out, family, &samples.all).map_err(|e| e.to_string())
            }
        };
        if let Err(error) = written {
            tracing::error!(family = family.name, %error, "a metric could not be encoded");
        }
    }

    fn prometheus(&mut self, family: &Family, samples: Vec<Sample>) -> Result<(), String> {
        let mut encoded = MetricFamily::default();
        encoded.set_name(family.name.to_owned());
        encoded.set_help(family.help.to_owned());
        encoded.set_field_type(family.kind);
        encoded.set_metric(samples.into_iter().map(|(metric, _)| metric).collect());
        let written = TextEncoder::new().encode_utf8(&[encoded], &mut self.out);
        written.map_err(|error| error.to_string())
    }

    /// Appends a family with one sample without labels.
    pub(super) fn single(&mut self, family: &Family, value: f64) {
        self.family(family, |samples| samples.value(&[], value));
    }

    pub(super) fn into_string(mut self) -> String {
        if self.form == Exposition::OpenMetrics {
            self.out.push_str(open_metrics::END);
        }
        self.out
    }
}

/// The samples of one family.
#[derive(Debug)]
pub(super) struct Samples<'f> {
    family: &'f Family,
    all: Vec<Sample>,
}

impl Samples<'_> {
    /// Adds a counter's or gauge's value; `labels` in the family's order.
    pub(super) fn value(&mut self, labels: &[&str], value: f64) {
        let mut metric = self.metric(labels);
        if self.family.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.all.push((metric, Vec::new()));
    }

    /// Adds a whole number.
    pub(super) fn count(&mut self, labels: &[&str], value: u64) {
        self.value(labels, value as f64);
    }

    /// Adds a histogram.
    pub(super) fn histogram(&mut self, labels: &[&str], seen: &Distribution) {
        let mut cumulated = 0_u64;
        let buckets = BOUNDS_US
            .iter()
            .zip(&seen.buckets)
            .map(|(bound, count)| {
                cumulated = cumulated.wrapping_add(*count);
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*bound as f64 / 1e6);
                bucket.set_cumulative_count(cumulated);
                bucket
            })
            .collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        // The encoder writes the bucket `+Inf` from this count.
        histogram.set_sample_count(seen.buckets.iter().fold(0, |sum, n| sum.wrapping_add(*n)));
        histogram.set_sample_sum(seen.sum_us as f64 / 1e6);
        let mut metric = self.metric(labels);
        metric.set_histogram(histogram);
        self.all.push((metric, seen.exemplars.to_vec()));
    }

    fn metric(&self, labels: &[&str]) -> Metric {
        debug_assert_eq!(labels.len(), self.family.labels.len(), "{}", self.family.name);
        let pairs = self.family.labels.iter().zip(labels).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        Metric::from_label(pairs.collect())
    }
}
