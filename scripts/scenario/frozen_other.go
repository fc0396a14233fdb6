//go:build !linux

package main

// waitFrozen can't look at the process without taking its end from cmd.Wait here.
func waitFrozen(int) {}
