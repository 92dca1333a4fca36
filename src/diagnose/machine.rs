//! The machine that the process runs on.

use std::fs;
use std::thread::available_parallelism;

use super::Collected;

/// Settings of the kernel that matter to a balancer, below `/proc/sys`.
const SETTINGS: [&str; 12] = [
    "fs/file-max",
    "fs/file-nr",
    "fs/nr_open",
    "kernel/osrelease",
    "net/core/netdev_max_backlog",
    "net/core/somaxconn",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/tcp_fin_timeout",
    "net/ipv4/tcp_max_syn_backlog",
    "net/ipv4/tcp_mem",
    "net/ipv4/tcp_syncookies",
    "net/netfilter/nf_conntrack_max",
];

/// Takes in what there is to know of it.
pub(super) fn collect(into: &mut Collected) {
    for (name, path) in [
        ("os-release", "/etc/os-release"),
        ("kernel", "/proc/version"),
        ("loadavg", "/proc/loadavg"),
        ("meminfo", "/proc/meminfo"),
        ("uptime", "/proc/uptime"),
        ("stat", "/proc/stat"),
        ("pressure-cpu", "/proc/pressure/cpu"),
        ("pressure-memory", "/proc/pressure/memory"),
        ("pressure-io", "/proc/pressure/io"),
        ("cgroup-memory-max", "/sys/fs/cgroup/memory.max"),
        ("cgroup-cpu-max", "/sys/fs/cgroup/cpu.max"),
    ] {
        into.had(&format!("machine/{name}"), fs::read_to_string(path));
    }
    let cores = available_parallelism().map(|cores| format!("{cores}\n"));
    into.had("machine/cores", cores);
    let settings = SETTINGS.iter().filter_map(|name| {
        let value = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
        Some(format!("{} = {}\n", name.replace('/', "."), value.trim()))
    });
    into.put("machine/sysctl", settings.collect::<String>());
}
