package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// Build builds quicpeer into dir as make build does, or with the race detector, and returns
// its path. With the detector it is built as go test -race builds, whose packages are then at
// hand: -trimpath would have everything compiled once more, down to the standard library.
func Build(dir string, race bool) (program string, err error) {
	// In its own module, which is not the one of the benchmarks.
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "quicpeer").Output()
	if err != nil {
		return "", fmt.Errorf("where quicpeer is: %w", err)
	}
	program = filepath.Join(dir, "quicpeer.exe") // the ending is needed on Windows and harmless elsewhere
	flag, cgo := "-trimpath", "CGO_ENABLED=0"
	if race {
		flag, cgo = "-race", "CGO_ENABLED=1"
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", flag, "-o", program, ".")
	cmd.Dir, cmd.Env = strings.TrimSpace(string(root)), append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building quicpeer: %w\n%s", err, out)
	}
	return program, nil
}

// HasRaceDetector reports whether this very program was built with it.
func HasRaceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// ReadSources makes the sources of quicpeer inputs of the test that calls it in a folder
// two below the root: go test doesn't see them being built, and would take an old result
// for a changed program.
func ReadSources() error {
	return filepath.WalkDir("../..", func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".git") {
			return fs.SkipDir
		}
		return err
	})
}

// Environment is that of a peer whose home is a folder: the harness's own without settings
// for quicpeer, which would change what a scenario says. A data race ends the peer, or it
// would go unseen in a process that lives on, and costs no second at each end.
func Environment(home string) []string {
	own := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "QUICPEER_") || strings.HasPrefix(kv, "XDG_") || strings.HasPrefix(kv, "HOME=")
	})
	return append(own, "HOME="+home, "GORACE=halt_on_error=1 atexit_sleep_ms=0")
}

// FreeAddresses finds n addresses on 127.0.0.1 whose UDP ports are free. They are below the
// ports that systems give to programs that ask for any, or another program might take the one
// of a peer that is down.
func FreeAddresses(n int) ([]string, error) {
	const lowest, highest, tries = 10000, 32000, 1000
	var found []string
	for range tries {
		if len(found) == n {
			return found, nil
		}
		conn, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(highest-lowest)))
		if err != nil {
			continue // it is taken
		}
		defer conn.Close() // when all are found, so that none is given twice
		found = append(found, conn.LocalAddr().String())
	}
	return nil, errors.New("no free UDP ports on 127.0.0.1")
}

// WriteCuts writes the file from which a peer with --cut-file learns whose packets it
// drops, unless that is what it says already.
func WriteCuts(name string, addresses []string) error {
	text := ""
	for _, a := range addresses {
		text += a + "\n"
	}
	if old, err := os.ReadFile(name); err == nil && string(old) == text {
		return nil
	}
	// Renamed into place, so that nobody reads half of it.
	if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
