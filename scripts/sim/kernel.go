package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"quicpeer/overlay/core/neighbours"
	"quicpeer/overlay/core/table"
	"quicpeer/overlay/coretest"
	"quicpeer/pb"
)

// The kernel estimates the experience of 100,000 peers without their cores: full tables of
// that size, 10^10 entries, fit into no machine. Two mechanisms matter at that size, and
// neither needs the tables: the flood of one announcement, and the comparison of two tables.

// grain is the step of the time of a flood.
const grain = 100 * time.Microsecond

const (
	kernelPeers = 100_000
	recordSize  = 300 // bytes of an announcement with one address, a little above what is measured
)

func kernel(s settings) []row {
	n := pick(s, 10_000, kernelPeers)
	start := time.Now()
	g := randomGraph(n, s.seed)
	mean, most := g.degrees()
	rows := []row{info(fmt.Sprintf("%d peers", n), "mean degree %.2f, greatest %d", mean, most)}
	for _, loss := range []float64{0, lossy} {
		var copies float64
		var nearly, last times
		const floods = 5
		for i := range uint64(floods) {
			received, near, end := g.flood(loss, s.seed, i)
			copies += received / floods
			nearly, last = append(nearly, near), append(last, end)
		}
		rows = append(rows, info(fmt.Sprintf("flood, %.0f %% loss", loss*100),
			"%.2f copies a peer, %.1f kB; 99 %% in %s, all in %s", copies, copies*recordSize/1000,
			seconds(nearly.percentile(0.5)), seconds(last.max())))
	}
	for _, differ := range []int{10, 100, 1000} {
		m := compare(n, differ, s.seed)
		rows = append(rows, info(fmt.Sprintf("two tables that differ in %d", differ),
			"%.0f kB to find out which (fingerprints %.0f, versions %.0f), %.0f kB of records; whole tables are %.0f MB each",
			float64(m.fingerprints+m.versions)/1000, float64(m.fingerprints)/1000, float64(m.versions)/1000,
			float64(m.records)/1000, float64(n*recordSize)/1e6))
	}
	return append(rows, info("wall time", "%.1f s", time.Since(start).Seconds()))
}

// graph is a network that peers join one after the other. It knows the neighbours of each
// peer, and nothing else; the rule of the core decides how many each has.
type graph struct {
	rng        *rand.Rand
	neighbours [][]int32 // of each peer
}

// randomGraph grows a network of n peers.
func randomGraph(n int, seed uint64) *graph {
	g := &graph{rng: rand.New(rand.NewPCG(seed, 2)), neighbours: make([][]int32, n)}
	for i := range n { // a newcomer finds the peers that are here
		g.seek(int32(i), i+1)
	}
	for i := range n {
		g.seek(int32(i), n)
	}
	return g
}

// seek makes a peer ask some of those present at random, until it is not short of neighbours.
func (g *graph) seek(i int32, here int) {
	for tries := 0; tries < 20 && neighbours.Short(len(g.neighbours[i])) > 0; tries++ {
		if j := int32(g.rng.IntN(here)); j != i && !slices.Contains(g.neighbours[i], j) && g.grants(j) {
			g.neighbours[i] = append(g.neighbours[i], j)
			g.neighbours[j] = append(g.neighbours[j], i)
		}
	}
}

// grants says that a peer takes another one, and makes room for it if it has to. Nobody needs
// priority where all can reach each other.
func (g *graph) grants(j int32) bool {
	if neighbours.Grants(len(g.neighbours[j]), false) {
		return true
	}
	var degrees []int
	for _, k := range g.neighbours[j] {
		degrees = append(degrees, len(g.neighbours[k]))
	}
	i := neighbours.Richest(degrees)
	if i < 0 {
		return false
	}
	k := g.neighbours[j][i]
	g.remove(j, k)
	g.remove(k, j) // which still has as many as it wants
	return true
}

// remove takes one of a peer's neighbours away; the last one takes its place.
func (g *graph) remove(i, neighbour int32) {
	list := g.neighbours[i]
	last := len(list) - 1
	list[slices.Index(list, neighbour)] = list[last]
	g.neighbours[i] = list[:last]
}

// degrees are the mean and the greatest number of neighbours.
func (g *graph) degrees() (mean float64, most int) {
	sum := 0
	for _, list := range g.neighbours {
		sum, most = sum+len(list), max(most, len(list))
	}
	return float64(sum) / float64(len(g.neighbours)), most
}

// flood sends one announcement from a random peer to all: each passes on the first copy to all
// neighbours but the one it came from. Packets that are lost come later, as in world. It returns
// how many copies a peer received, on average, and when nearly all and all had one.
func (g *graph) flood(loss float64, seed, number uint64) (copies float64, nearly, last time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 3+number))
	net := coretest.World{Loss: loss, Rand: rng}
	n := len(g.neighbours)
	seen := make(coretest.Set, n/64+1)
	type copied struct{ to, from, next int32 }
	var arena []copied
	var ring [1 << 15]int32 // 3 s of grains; a packet that is later was lost six times
	for i := range ring {
		ring[i] = -1
	}
	send := func(at int, to, from int32) {
		at = min(at, len(ring)-1)
		arena = append(arena, copied{to, from, ring[at]})
		ring[at] = int32(len(arena)) - 1
	}
	source := int32(rng.IntN(n))
	send(0, source, -1)
	known := 0
	for at := range ring {
		for i := ring[at]; i >= 0; i = ring[at] {
			c := arena[i]
			ring[at] = c.next
			if seen.Has(c.to) {
				continue
			}
			seen.Add(c.to)
			known++
			now := time.Duration(at) * grain
			last = now
			if known == (n*99+99)/100 {
				nearly = now
			}
			for _, to := range g.neighbours[c.to] {
				if to != c.from {
					oneWay := coretest.Latency(seed, c.to, to)
					send(at+int((net.Travel(oneWay)+grain-1)/grain), to, c.to)
				}
			}
		}
	}
	if known < n {
		last = never
	}
	return float64(len(arena)-1) / float64(n), nearly, last
}

// merged are the bytes of a comparison.
type merged struct{ fingerprints, versions, records int }

// rangeSize is what a range costs besides its hashes.
const rangeSize = 24

// compare counts the bytes that two tables of n with some different entries send to find the
// difference, by the rule of the core: where the fingerprints of a range differ, those of its
// parts follow, or the versions of its entries; then the records that are newer.
func compare(n, differ int, seed uint64) merged {
	rng := rand.New(rand.NewPCG(seed, 4))
	tags := make([]uint64, n)
	for i := range tags {
		tags[i] = coretest.Mix(binary.LittleEndian.Uint64(seedOf(seed, uint64(i))))
	}
	slices.Sort(tags)
	differs := make([]uint64, differ)
	for i := range differs {
		differs[i] = tags[rng.IntN(n)]
	}
	slices.Sort(differs)
	m := merged{fingerprints: rangeSize + 8, records: differ * recordSize}
	m.describe(tags, differs, 0, math.MaxUint64)
	return m
}

// describe counts what is said about a range in which the tables differ.
func (m *merged) describe(tags, differs []uint64, first, last uint64) {
	tags, differs = inRange(tags, first, last), inRange(differs, first, last)
	switch {
	case len(differs) == 0:
	case table.IsListed(first, last, len(tags)):
		m.versions += 2*rangeSize + 8*len(tags) + 8*len(differs) // held, and wanted
	default:
		m.fingerprints += rangeSize + 8*pb.MaxHashes
		for i := range pb.MaxHashes {
			from, to := table.Part(first, last, i, pb.MaxHashes)
			m.describe(tags, differs, from, to)
		}
	}
}

// inRange returns the tags of a range.
func inRange(tags []uint64, first, last uint64) []uint64 {
	from, _ := slices.BinarySearch(tags, first)
	to := len(tags)
	if last < math.MaxUint64 {
		to, _ = slices.BinarySearch(tags, last+1)
	}
	return tags[from:to]
}
