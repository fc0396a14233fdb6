//go:build !linux

package harness

// waitFrozen can't look at the process without taking its end from cmd.Wait here.
func waitFrozen(int) {}
