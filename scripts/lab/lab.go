package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// lab is scripts/natlab.sh, and a quicpeer that was built for it.
type lab struct {
	script  string
	program string
	prefix  string
	dir     string // state directories and logs
	debug   bool   // show what the peers log
}

// root is the repository's directory: the one above the script.
func root() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "scripts", "natlab.sh")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", fmt.Errorf("scripts/natlab.sh is not above this directory")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// newLab builds the program; dir is for what the lab writes.
func newLab(dir string) (*lab, error) {
	top, err := root()
	if err != nil {
		return nil, err
	}
	l := &lab{script: filepath.Join(top, "scripts", "natlab.sh"), program: filepath.Join(dir, "quicpeer"), prefix: "lab", dir: dir}
	build := exec.Command("go", "build", "-o", l.program, ".")
	build.Dir = top
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building quicpeer: %w: %s", err, out)
	}
	return l, nil
}

// do runs a command of the script.
func (l *lab) do(args ...string) error {
	cmd := exec.Command(l.script, args...)
	cmd.Env = append(os.Environ(), "NATLAB_PREFIX="+l.prefix)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("natlab.sh %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// insideVariable says to a process that it is the one within the namespaces.
const insideVariable = "QUICPEER_LAB_INSIDE"

// isolated runs this program again with the arguments in namespaces of its own, in which
// whatever it starts and builds ends with it. For others than root it takes a system that
// lets users make namespaces.
func isolated(ctx context.Context, args ...string) *exec.Cmd {
	words := []string{"--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"}
	if os.Geteuid() != 0 {
		words = append(words, "--user", "--map-root-user")
	}
	words = append(words, "sh", "-c", `mount -t tmpfs tmpfs /run && exec "$0" "$@"`, os.Args[0])
	cmd := exec.CommandContext(ctx, "unshare", append(words, args...)...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	return cmd
}

// missing says what a lab lacks here; empty: nothing.
func missing() string {
	if runtime.GOOS != "linux" {
		return "network namespaces are a thing of Linux"
	}
	for tool, of := range map[string]string{"unshare": "util-linux", "ip": "iproute2", "nft": "nftables", "bash": "bash", "go": "Go"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Sprintf("%s of %s is not here", tool, of)
		}
	}
	try := isolated(context.Background())
	// The program's place is taken by one that does nothing.
	for i, word := range try.Args {
		if word == os.Args[0] {
			try.Args[i] = "true"
		}
	}
	if out, err := try.CombinedOutput(); err != nil {
		return fmt.Sprintf("network namespaces, for root or a user who may make user namespaces: %s", strings.TrimSpace(string(out)))
	}
	return ""
}
