//go:build unix

package cli

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMetrics: two processes that write to each other serve figures of it, and leave qlog files.
func TestMetrics(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "qlog")
	r, w := io.Pipe()
	defer w.Close()
	alice := startWithErrors(t, w, "--id", "alice", "--state-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--json", "--metrics", "127.0.0.1:0")
	log := bufio.NewScanner(r)
	url := ""
	for url == "" && log.Scan() {
		url = regexp.MustCompile(`http://\S+/metrics`).FindString(log.Text())
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	address := alice.event("ready").Listen[0]
	bob := start(t, "--id", "bob", "--state-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--json", "--join", address, "--qlog", dir)
	bob.event("ready")
	bob.write(`{"cmd":"send","to":"alice","body":"hello"}` + "\n")
	bob.event("delivered")

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	for _, want := range []string{
		`quicpeer_messages_total{dir="in",path="direct",result="shown"} 1`, `quicpeer_peers{state="alive"} 1`,
		`quicpeer_store_commit_seconds_count 1`, `quicpeer_build_info{version="quicpeer/`, `process_resident_memory_bytes `,
	} {
		if !strings.Contains(string(text), "\n"+want) && !strings.HasPrefix(string(text), want) {
			t.Errorf("%s is not in\n%.4000s", want, text)
		}
	}
	if strings.Contains(string(text), "bob") || strings.Contains(string(text), "hello") {
		t.Error("the page names a peer, or shows a message")
	}
	if other := start(t, "--metrics", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/metrics"), "--listen", "127.0.0.1:0"); other.status() != 1 ||
		!strings.Contains(other.errors.String(), "another program listens there; choose another port with --metrics") {
		t.Errorf("with a port in use: %s", other.errors.String())
	}
	bob.write(`{"cmd":"leave"}` + "\n")
	bob.status()
	if list, err := os.ReadDir(dir); err != nil || len(list) == 0 {
		t.Errorf("qlog files: %v, %v", list, err)
	}
}
