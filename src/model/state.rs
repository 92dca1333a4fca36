//! What is known of a backend: three separate facts, combined in one place only
//! (`balance::eligible`).

use crate::model::Tick;

/// What the operator wants of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AdminState {
    /// In rotation as far as its health allows.
    #[default]
    Enabled,
    /// Gets no new requests; those under way finish.
    Draining,
    /// Out of rotation.
    Disabled,
}

/// What active probes say of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ProbedState {
    /// No probe is configured; counts as able to serve.
    #[default]
    Unprobed,
    /// Probed, but no verdict yet. Serves only when nothing better is there.
    Checking,
    /// The last verdict was good.
    Up,
    /// The last verdict was bad.
    Down,
}

/// What the outcomes of real requests say of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PassiveState {
    /// Fewer failures than the limit.
    #[default]
    Ok,
    /// Failed too often; gets nothing until the given moment.
    Parked {
        /// When the trial request is due.
        until: Tick,
    },
    /// The pause is over: one trial request decides.
    Trial,
}

/// The three facts together. Only the control loop writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BackendState {
    /// The operator's word.
    pub admin: AdminState,
    /// The probes' word.
    pub probed: ProbedState,
    /// The traffic's word.
    pub passive: PassiveState,
}

macro_rules! names {
    ($type:ident { $($pattern:pat => $name:literal),+ $(,)? }) => {
        impl $type {
            /// The word used in TOML, logs, metrics and the admin API.
            pub fn name(self) -> &'static str {
                match self { $($pattern => $name),+ }
            }
        }
    };
}

names!(AdminState {
    Self::Enabled => "enabled",
    Self::Draining => "draining",
    Self::Disabled => "disabled",
});
names!(ProbedState {
    Self::Unprobed => "unprobed",
    Self::Checking => "checking",
    Self::Up => "up",
    Self::Down => "down",
});
names!(PassiveState {
    Self::Ok => "ok",
    Self::Parked { .. } => "parked",
    Self::Trial => "trial",
});
