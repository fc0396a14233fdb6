// Package metrics serves what a peer counts as Prometheus text, and Go's profiles. docs/metrics.md
// describes the series. None has a label for a peer, a message or an address: there would be one for
// each of thousands, and whoever may read the figures need not know who writes to whom.
package metrics

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/pprof"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// Node is a running peer.
type Node interface{ Figures() overlay.Figures }

// Files are those that it offers and receives.
type Files interface{ Figures() files.Figures }

// pageFor is for how long a page is served again, so that nobody can keep the peer busy with making
// new ones.
const pageFor = 250 * time.Millisecond

// Handler serves the figures of a node and, unless nil, of its files, to GET and HEAD alone.
func Handler(n Node, f Files) http.Handler {
	p := &page{node: n, files: f}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "metrics can only be read: use GET", http.StatusMethodNotAllowed)
			return
		}
		text := p.now()
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(text) // an error is the reader's
		}
	})
}

// page is the text that was served last.
type page struct {
	node  Node
	files Files
	mu    sync.Mutex
	text  []byte
	made  time.Time
}

func (p *page) now() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.text == nil || time.Since(p.made) >= pageFor {
		var b bytes.Buffer
		write(&b, p.node.Figures())
		if p.files != nil {
			writeFiles(&b, p.files.Figures())
		}
		vm.WriteProcessMetrics(&b)
		vm.WriteFDMetrics(&b)
		p.text, p.made = b.Bytes(), time.Now()
	}
	return p.text
}

// Profiles serves Go's profiles under /debug/pprof/, for a socket that this user alone can open.
// The command line is not among them, as it may have a ticket.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// write writes the series of a peer. Those with labels are there from the start, with 0, so that
// rates and alerts see the first of each; but for the reasons of refusals that have not occurred.
func write(w io.Writer, s overlay.Figures) {
	gauge := func(name string, value float64) { vm.WriteGaugeFloat64(w, "quicpeer_"+name, value) }
	counter := func(name string, value uint64) { vm.WriteCounterUint64(w, "quicpeer_"+name, value) }
	gauge(fmt.Sprintf("build_info{version=%q,go=%q}", s.Software, runtime.Version()), 1)
	each(s.Peers, func(state overlay.PeerState, n int) { gauge(fmt.Sprintf("peers{state=%q}", state), float64(n)) })
	gauge("neighbours", float64(s.Neighbours))
	each(s.Links, func(how overlay.How, n int) { gauge(fmt.Sprintf("links{how=%q}", how), float64(n)) })
	histogram(w, "link_rtt_seconds", s.RTT)
	for _, m := range s.Messages {
		counter(fmt.Sprintf("messages_total{dir=%q,path=%q,result=%q}", m.Dir, m.Path, m.Result), m.Count)
	}
	histogram(w, "delivery_seconds", s.Delivery)
	gauge("outbox_messages", float64(s.Outbox))
	gauge("outbox_bytes", float64(s.OutboxBytes))
	gauge("oldest_waiting_seconds", s.Oldest.Seconds())
	gauge("custody_letters", float64(s.Letters))
	gauge("custody_bytes", float64(s.LetterBytes))
	counter("carried_bytes_total", s.Carried)
	each(s.Refused, func(why string, n uint64) { counter(fmt.Sprintf("refused_total{reason=%q}", why), n) })
	counter("lost_total", s.Lost)
	counter("false_lost_total", s.FalseLost)
	each(s.Punches, func(result string, n uint64) { counter(fmt.Sprintf("punch_total{result=%q}", result), n) })
	each(s.Joins, func(result string, n uint64) { counter(fmt.Sprintf("joins_total{result=%q}", result), n) })
	histogram(w, "store_commit_seconds", s.Commit)
	gauge("journal_lag", float64(s.Lag))
	gauge("events_unread_seconds", s.Unread.Seconds())
}

// writeFiles writes the series of files.
func writeFiles(w io.Writer, s files.Figures) {
	vm.WriteGaugeFloat64(w, "quicpeer_files_open", float64(s.Open))
	for _, c := range []struct {
		what  string
		bytes int64
	}{{"read", s.Read}, {"received", s.Received}, {"sent", s.Sent}} {
		vm.WriteCounterUint64(w, fmt.Sprintf("quicpeer_file_bytes_total{what=%q}", c.what), uint64(c.bytes))
	}
}

// each goes through a map in the order of its keys.
func each[K ~string, V any](m map[K]V, f func(K, V)) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		f(k, m[k])
	}
}

// histogram writes a histogram with cumulative buckets, as Prometheus has them.
func histogram(w io.Writer, name string, h overlay.Histogram) {
	name = "quicpeer_" + name
	sum := uint64(0)
	for i, n := range h.Counts {
		sum += n
		le := "+Inf"
		if i < len(overlay.Bounds) {
			le = strconv.FormatFloat(overlay.Bounds[i].Seconds(), 'g', -1, 64)
		}
		vm.WriteCounterUint64(w, fmt.Sprintf("%s_bucket{le=%q}", name, le), sum)
	}
	vm.WriteCounterFloat64(w, name+"_sum", h.Sum.Seconds())
	vm.WriteCounterUint64(w, name+"_count", sum)
}
