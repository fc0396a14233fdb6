package main

import (
	"math"
	"testing"
)

// TestKernelIsOfTheCore: a network that the kernel grows has the degrees of one of real cores.
func TestKernelIsOfTheCore(t *testing.T) {
	const n = 150
	s := settings{seed: 1}
	cores := s.grownDegree(n)
	kernel, _ := randomGraph(n, 1).degrees()
	if math.Abs(cores-kernel) > 0.5 {
		t.Errorf("mean degree %.2f, of real cores %.2f", kernel, cores)
	}
	t.Logf("mean degree %.2f, of real cores %.2f", kernel, cores)
}
