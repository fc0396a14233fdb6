package metrics

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	vm "github.com/VictoriaMetrics/metrics"

	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a node with these figures, and counts how often it was asked.
type fake struct {
	mu    sync.Mutex
	stats overlay.Figures
	asked int
}

func (f *fake) Figures() overlay.Figures {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.stats
}

// get asks a handler.
func get(h http.Handler, method, path string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Result()
}

// served are the series of a page, each with its value.
func served(t *testing.T, page string) map[string]float64 {
	t.Helper()
	list := map[string]float64{}
	for line := range strings.Lines(page) {
		at := strings.LastIndexByte(line, ' ')
		series := line[:max(at, 0)]
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if err := vm.ValidateMetric(series); err != nil {
			t.Errorf("%q: %v", series, err)
		}
		if _, twice := list[series]; twice {
			t.Errorf("%s is there twice", series)
		}
		list[series] = value
	}
	return list
}

// TestPage: the figures come as Prometheus text, with the values that the node has counted.
func TestPage(t *testing.T) {
	n := &fake{stats: overlay.Figures{
		Software: "quicpeer/1.0\n\"", Peers: map[overlay.PeerState]int{overlay.StateAlive: 3}, Neighbours: 2,
		Links: map[overlay.How]int{overlay.HowPunched: 1}, Letters: 4, LetterBytes: 400, Carried: 12345, Lost: 5, FalseLost: 1,
		Refused: map[string]uint64{"busy": 6}, Punches: map[string]uint64{"made": 7}, Joins: map[string]uint64{"failed": 8},
	}}
	n.stats.Messages = append(n.stats.Messages, struct {
		Dir, Path, Result string
		Count             uint64
	}{"in", "direct", "shown", 9})
	n.stats.Outbox, n.stats.OutboxBytes, n.stats.Oldest, n.stats.Lag, n.stats.Unread = 10, 1000, 1500*time.Millisecond, 11, 2*time.Second
	for _, d := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, time.Hour} {
		n.stats.RTT.Observe(d)
	}
	r := get(Handler(n, someFiles{}), "GET", "/metrics")
	text, _ := io.ReadAll(r.Body)
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("status %d, %v", r.StatusCode, r.Header)
	}
	got := served(t, string(text))
	for series, want := range map[string]float64{
		`quicpeer_peers{state="alive"}`: 3, `quicpeer_neighbours`: 2, `quicpeer_links{how="punched"}`: 1,
		`quicpeer_custody_letters`: 4, `quicpeer_custody_bytes`: 400, `quicpeer_carried_bytes_total`: 12345,
		`quicpeer_lost_total`: 5, `quicpeer_false_lost_total`: 1, `quicpeer_refused_total{reason="busy"}`: 6,
		`quicpeer_punch_total{result="made"}`: 7, `quicpeer_joins_total{result="failed"}`: 8,
		`quicpeer_messages_total{dir="in",path="direct",result="shown"}`: 9,
		`quicpeer_outbox_messages`:                                       10, `quicpeer_outbox_bytes`: 1000, `quicpeer_oldest_waiting_seconds`: 1.5,
		`quicpeer_journal_lag`: 11, `quicpeer_events_unread_seconds`: 2,
		`quicpeer_link_rtt_seconds_bucket{le="0.0001"}`: 1, `quicpeer_link_rtt_seconds_bucket{le="0.001"}`: 2,
		`quicpeer_link_rtt_seconds_bucket{le="0.0025"}`: 3, `quicpeer_link_rtt_seconds_bucket{le="60"}`: 3,
		`quicpeer_link_rtt_seconds_bucket{le="+Inf"}`: 4, `quicpeer_link_rtt_seconds_count`: 4,
		`quicpeer_delivery_seconds_count`: 0,
		`quicpeer_files_open`:             2, `quicpeer_file_bytes_total{what="read"}`: 30, `quicpeer_file_bytes_total{what="sent"}`: 20, `quicpeer_file_bytes_total{what="received"}`: 10,
	} {
		if value, there := got[series]; !there || value != want {
			t.Errorf("%s is %v (%v), want %v", series, value, there, want)
		}
	}
	if sum := got["quicpeer_link_rtt_seconds_sum"]; sum < 3600.002 || sum > 3600.003 {
		t.Errorf("the sum is %v", sum)
	}
}

// someFiles are files with figures.
type someFiles struct{}

func (someFiles) Figures() files.Figures {
	return files.Figures{Read: 30, Sent: 20, Received: 10, Open: 2}
}

// TestMethods: the page can only be read.
func TestMethods(t *testing.T) {
	h := Handler(new(fake), nil)
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE"} {
		if r := get(h, method, "/metrics"); r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: status %d, %v", method, r.StatusCode, r.Header)
		}
	}
	r := get(h, "HEAD", "/metrics")
	if text, _ := io.ReadAll(r.Body); r.StatusCode != 200 || len(text) > 0 || r.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: status %d, %d bytes, %v", r.StatusCode, len(text), r.Header)
	}
}

// TestPageIsServedAgain: many readers don't keep the peer busy.
func TestPageIsServedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(fake)
		h := Handler(n, nil)
		var readers sync.WaitGroup
		for range 100 {
			readers.Go(func() {
				if r := get(h, "GET", "/metrics"); r.ContentLength < 1000 {
					t.Errorf("%d bytes", r.ContentLength)
				}
			})
		}
		readers.Wait()
		if n.asked != 1 {
			t.Errorf("100 readers at once have the node asked %d times", n.asked)
		}
		time.Sleep(pageFor)
		get(h, "GET", "/metrics")
		if n.asked != 2 {
			t.Error("the page stays as it was")
		}
	})
}

// TestProfiles: profiles are there, and the command line, which may have a ticket, is not.
func TestProfiles(t *testing.T) {
	for path, want := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/heap": 200, "/debug/pprof/symbol": 200,
		"/debug/pprof/cmdline": 404, "/metrics": 404,
	} {
		if r := get(Profiles(), "GET", path); r.StatusCode != want {
			t.Errorf("%s: status %d", path, r.StatusCode)
		}
	}
}

// nodePage is the page of a real node.
func nodePage(t *testing.T) map[string]float64 {
	t.Helper()
	n, err := overlay.Start(t.Context(), overlay.Config{Listen: "127.0.0.1:0", Software: "quicpeer/test"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	text, _ := io.ReadAll(get(Handler(n, someFiles{}), "GET", "/metrics").Body)
	return served(t, string(text))
}

// base is the name of a series, without its labels and what a histogram adds.
func base(series string) string {
	name, _, _ := strings.Cut(series, "{")
	for _, end := range []string{"_bucket", "_sum", "_count"} {
		if cut, ok := strings.CutSuffix(name, end); ok && strings.HasPrefix(name, "quicpeer_") {
			return cut
		}
	}
	return name
}

var seriesName = regexp.MustCompile(`\b(quicpeer|process|go)_[a-z0-9_]+`)

// TestDocumented: docs/metrics.md describes what is served, and nothing else.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if row, ok := strings.CutPrefix(line, "| `quicpeer_"); ok {
			name, _, _ := strings.Cut(row, "`")
			name, _, _ = strings.Cut(name, "{")
			documented["quicpeer_"+name] = true
		}
	}
	for series := range nodePage(t) {
		switch name := base(series); {
		case strings.HasPrefix(name, "go_"), strings.HasPrefix(name, "process_"):
		case !documented[name]:
			t.Errorf("%s has no row in docs/metrics.md", name)
		default:
			documented[name] = documented[name] && true
		}
	}
	there := map[string]bool{}
	for series := range nodePage(t) {
		there[base(series)] = true
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if !there[name] {
			t.Errorf("docs/metrics.md describes %s, which no node serves", name)
		}
	}
	for _, name := range seriesName.FindAllString(string(text), -1) {
		if !there[base(name)] {
			t.Errorf("docs/metrics.md names %s, which no node serves", name)
		}
	}
}

// TestDashboard: each series of the dashboard is one that a node serves, with the labels that it asks
// for.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../packaging/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	page, exprs := nodePage(t), 0
	selector := regexp.MustCompile(seriesName.String() + `(\{[^}]*\})?`)
	label := regexp.MustCompile(`([a-z]+)(=~?)"([^"]*)"`)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			exprs++
			found := selector.FindAllString(target.Expr, -1)
			if len(found) == 0 {
				t.Errorf("%s: no series in %s", p.Title, target.Expr)
			}
			for _, s := range found {
				name, labels, _ := strings.Cut(s, "{")
				for _, l := range append([][]string{{"", "", "", ""}}, label.FindAllStringSubmatch(labels, -1)...) {
					if l[1] == "instance" || l[1] == "job" { // of Prometheus
						continue
					}
					for value := range strings.SplitSeq(l[3], "|") {
						want := ""
						if l[1] != "" {
							want = l[1] + `="` + value + `"`
						}
						if !slices.ContainsFunc(slices.Collect(maps.Keys(page)), func(series string) bool {
							own, labels, _ := strings.Cut(series, "{")
							return own == name && strings.Contains(labels, want)
						}) {
							t.Errorf("%s: no node serves %s with %s", p.Title, name, want)
						}
					}
				}
			}
		}
	}
	if exprs < 15 {
		t.Errorf("only %d expressions were found", exprs)
	}
}
