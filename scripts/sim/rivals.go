package main

// What hashicorp/memberlist v0.7.0 does with DefaultLANConfig: the yardstick of the field.
// Those in seconds at 1000 and 10,000 peers are computed from its formulas
// (suspicion of 4·log10 N seconds after a probe has failed, gossip of 200 ms to 3 peers)
// with a simulated spread, since a thousand of them do not run on one machine in
// real time; those at 200 were measured there, in one process over loopback.
const (
	rivalCrash      = "15 s (computed)"
	rivalCrashLarge = "19 s (computed)"
	rivalJoin       = "1.0 s (simulated)"
	rivalJoinLossy  = "1.2 s (simulated)"
	rivalJoinSmall  = "5.0 s (measured, 200 peers)"
	rivalHeal       = "never by itself (its issue 222)"
	rivalRestart    = "some stay dead (its issue 311)"
	rivalBytes      = "6 kB/s (computed)"
	rivalIdle       = "0.09 kB/s (measured, 200 peers)"
)
