package main

import (
	"fmt"
	"net/rpc"
	"time"
)

var (
	directly = LinkTo{Peer: b}
	overOne  = LinkTo{Peer: b, Carried: true}
)

// bulk measures one stream of large messages.
func (o options) bulk(n network, r *results) error {
	type round struct{ direct, carried, directCPU, carriedCPU float64 }
	run := func(to LinkTo) (rate, cpu float64, err error) {
		before, err := n.cpu()
		if err != nil {
			return 0, 0, err
		}
		var sent Sent
		if err := n[a].Call("peer.Bulk", Bulk{To: to, Length: o.length}, &sent); err != nil {
			return 0, 0, err
		}
		after, err := n.cpu()
		megabytes := float64(sent.Bytes) / 1e6
		return megabytes / sent.Time.Seconds(), (after - before).Seconds() * 1000 / megabytes, err
	}
	list, err := repeat(o.rounds, func() (t round, err error) {
		if t.direct, t.directCPU, err = run(directly); err == nil {
			t.carried, t.carriedCPU, err = run(overOne)
		}
		return t, err
	})
	if err != nil {
		return err
	}
	direct, carried := func(t round) float64 { return t.direct }, func(t round) float64 { return t.carried }
	r.title(fmt.Sprintf("one stream of messages of %d KiB, directly and over one other peer", largeBody>>10))
	r.row("MB/s, directly and over one", fmt.Sprintf("%8.1f %8.1f", median(list, direct), median(list, carried)))
	r.row("CPU of all processes, ms a MB", fmt.Sprintf("%8.2f %8.2f",
		median(list, func(t round) float64 { return t.directCPU }), median(list, func(t round) float64 { return t.carriedCPU })))
	r.bar("rate over one to directly", ratio(list, carried, direct), 0.3, false)
	return nil
}

// questions measures small messages and their answers.
func (o options) questions(n network, r *results) error {
	type round struct{ direct, carried, directMany, carriedMany Asked }
	list, err := repeat(o.rounds, func() (t round, err error) {
		for _, m := range []struct {
			to       LinkTo
			inFlight int
			asked    *Asked
		}{{directly, 1, &t.direct}, {overOne, 1, &t.carried}, {directly, 128, &t.directMany}, {overOne, 128, &t.carriedMany}} {
			if err := n[a].Call("peer.Ask", Ask{m.to, m.inFlight, o.length}, m.asked); err != nil {
				return t, err
			}
		}
		return t, nil
	})
	if err != nil {
		return err
	}
	direct, carried := func(t round) float64 { return float64(t.direct.P50) }, func(t round) float64 { return float64(t.carried.P50) }
	directMany, carriedMany := func(t round) float64 { return t.directMany.PerSecond }, func(t round) float64 { return t.carriedMany.PerSecond }
	r.title(fmt.Sprintf("questions of %d bytes and their answers, on a stream that stays open", smallBody))
	r.row("p50 one at a time, ms, directly and over one", fmt.Sprintf("%8.3f %8.3f", median(list, direct)/1e6, median(list, carried)/1e6))
	r.row("p50 over one to directly, for information", fmt.Sprintf("%8.2f", ratio(list, carried, direct)))
	r.row("a second, 128 in flight, directly and over one", fmt.Sprintf("%8.0f %8.0f", median(list, directMany), median(list, carriedMany)))
	r.row("the same, over one to directly, for information", fmt.Sprintf("%8.2f", ratio(list, carriedMany, directMany)))
	return nil
}

const (
	// carriedBytes is what is carried each second while control frames are measured: some 20,000
	// packets, those that acknowledge others among them (counted).
	carriedBytes = 20_000_000
	// beforeMeasuring is how long before that a load begins.
	beforeMeasuring = 200 * time.Millisecond
)

// control measures control frames between the relay and b while much is carried.
func (o options) control(n network, r *results) error {
	type delays struct {
		Delays
		packets float64 // carried in a second
	}
	type round struct{ idle, other, same delays }
	run := func(to string) (d delays, err error) {
		if to == "" {
			return d, n[relay].Call("peer.Control", Control{b, o.length}, &d.Delays)
		}
		load := Bulk{To: LinkTo{to, true}, Length: o.length + 2*beforeMeasuring, PerSecond: carriedBytes}
		running := n[a].Go("peer.Bulk", load, new(Sent), nil)
		time.Sleep(beforeMeasuring)
		before, err := n.packets(a, to)
		if err != nil {
			return d, err
		}
		began := time.Now()
		if err := n[relay].Call("peer.Control", Control{b, o.length}, &d.Delays); err != nil {
			return d, err
		}
		after, err := n.packets(a, to)
		d.packets = float64(after-before) / time.Since(began).Seconds()
		<-running.Done
		if err == nil {
			err = running.Error
		}
		return d, err
	}
	list, err := repeat(o.rounds, func() (t round, err error) {
		for _, m := range []struct {
			to     string
			delays *delays
		}{{"", &t.idle}, {c, &t.other}, {b, &t.same}} {
			if *m.delays, err = run(m.to); err != nil {
				return t, err
			}
		}
		return t, nil
	})
	if err != nil {
		return err
	}
	r.title("a control frame from the relay to b and its answer, for information")
	idle := median(list, func(t round) float64 { return float64(t.idle.P99) })
	for _, m := range []struct {
		what string
		of   func(round) delays
	}{
		{"idle", func(t round) delays { return t.idle }},
		{"while it carries from a to c", func(t round) delays { return t.other }},
		{"while it carries from a to b, on the same link", func(t round) delays { return t.same }},
	} {
		p50 := median(list, func(t round) float64 { return float64(m.of(t).P50) })
		p99 := median(list, func(t round) float64 { return float64(m.of(t).P99) })
		r.row(m.what, fmt.Sprintf("p50 %.3f ms  p99 %.3f ms, %.2f of idle; %.0f packets/s", p50/1e6, p99/1e6, p99/idle,
			median(list, func(t round) float64 { return m.of(t).packets })))
	}
	return nil
}

// garbages are the floods. Small packets are one byte of QUIC's; the last have not even a header.
var garbages = func() (list []Garbage) {
	for _, size := range []int{1200, 1} {
		list = append(list, Garbage{"to b, from a that it knows", b, a, size}, Garbage{"to b, from an unknown peer", b, "", size},
			Garbage{"to an unknown peer", "", "", size},
			Garbage{"to the relay, from a that it knows", relay, a, size}, Garbage{"to the relay, from an unknown peer", relay, "", size})
	}
	return append(list, Garbage{"of nothing", "", "", -header})
}()

func (g Garbage) String() string { return fmt.Sprintf("%d bytes %s", max(0, g.Size), g.What) }

// flooded is what a question takes beside a load, and what the load is.
type flooded struct {
	p50            float64
	rate           float64 // MB/s
	relay, hostile float64 // processors
}

// beside measures questions of the relay to b, over its own link, beside a call that sends until
// stop. Without a call there is nothing beside.
func (o options) beside(n network, who, method string, load any, stop func() error) (t flooded, err error) {
	var sent Sent
	var running *rpc.Call
	if who != "" {
		running = n[who].Go(method, load, &sent, nil)
		time.Sleep(beforeMeasuring)
	}
	before, err := n.usage(relay, hostile)
	if err != nil {
		return t, err
	}
	began := time.Now()
	var asked Asked
	if err := n[relay].Call("peer.Ask", Ask{directly, 1, o.length}, &asked); err != nil {
		return t, err
	}
	after, err := n.usage(relay, hostile)
	if err != nil {
		return t, err
	}
	took := time.Since(began).Seconds()
	t.p50 = float64(asked.P50)
	t.relay, t.hostile = (after[0].CPU-before[0].CPU).Seconds()/took, (after[1].CPU-before[1].CPU).Seconds()/took
	if running == nil {
		return t, nil
	}
	if err := stop(); err != nil {
		return t, err
	}
	<-running.Done
	t.rate = float64(sent.Bytes) / 1e6 / sent.Time.Seconds()
	return t, running.Error
}

// load is something beside which questions are measured.
type load struct {
	what string
	run  func() (flooded, error)
	bar  bool
}

// garbage measures questions of the relay to b while the hostile process floods the relay.
func (o options) garbage(n network, r *results) error {
	flood := func(f Flood) func() (flooded, error) {
		return func() (flooded, error) {
			return o.beside(n, hostile, "peer.Flood", f, func() error { return n[hostile].Call("peer.Stop", 0, new(int)) })
		}
	}
	bulk := func(who string, to LinkTo) func() (flooded, error) {
		return func() (flooded, error) {
			return o.beside(n, who, "peer.Bulk", Bulk{To: to, Length: o.length + 2*beforeMeasuring}, func() error { return nil })
		}
	}
	idle := func() (flooded, error) { return o.beside(n, "", "", nil, nil) }
	loads := []load{
		{"(a) nothing", idle, false},
		{"(c) the hostile process floods itself alone", flood(Flood{garbages[0], true}), false},
		{"(d) the relay sends b a long stream itself", bulk(relay, directly), false},
		{"(d) a sends the relay a long stream", bulk(a, LinkTo{Peer: relay}), false},
		{"(d) a sends b a long stream over the relay", bulk(a, overOne), false},
	}
	for _, g := range garbages {
		loads = append(loads, load{"(b) " + g.String(), flood(Flood{g, false}), true})
	}
	if _, err := idle(); err != nil {
		return err
	}
	time.Sleep(time.Second) // the memory settles
	memory := watchMemory(n[relay].cmd.Process.Pid)
	list, err := repeat(o.rounds, func() (round []flooded, err error) {
		for _, l := range loads {
			f, err := l.run()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", l.what, err)
			}
			round = append(round, f)
		}
		return round, nil
	})
	grown := memory()
	if err != nil {
		return err
	}
	r.title("p50 of a question of the relay to b, over its own link, (b) while a hostile process floods the relay;\n" +
		"(c) takes processors too, but sends the relay nothing; (d) is what well-behaved peers do to it")
	fmt.Printf("  %-50s %8s %7s %7s %6s   %s\n", "", "p50, ms", "to (a)", "to (c)", "MB/s", "processors: relay, hostile")
	of := func(i int, figure func(flooded) float64) float64 {
		return median(list, func(round []flooded) float64 { return figure(round[i]) })
	}
	p50 := func(i int) float64 { return of(i, func(f flooded) float64 { return f.p50 }) }
	for i, l := range loads {
		toIdle, verdict := p50(i)/p50(0), ""
		if l.bar {
			verdict = r.judge(l.what, toIdle, 2, true)
		}
		fmt.Printf("  %-50s %8.3f %7.2f %7.2f %6.0f   %4.2f %4.2f   %s\n", l.what, p50(i)/1e6, toIdle, p50(i)/p50(1),
			of(i, func(f flooded) float64 { return f.rate }), of(i, func(f flooded) float64 { return f.relay }),
			of(i, func(f flooded) float64 { return f.hostile }), verdict)
	}
	r.bar("memory of the relay above what it was, MiB", float64(grown)/(1<<20), 16, true)
	return nil
}
