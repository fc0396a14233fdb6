// Package netlab makes networks of Linux's network namespaces for real programs: a LAN whose
// cables can be pulled, and an internet with home routers that translate addresses. It takes
// util-linux and iproute2, and root or the right to make user namespaces. Nothing of it is
// left over, however the program that made it ends, and nothing outside is touched.
//
// Tests of the program use it as well, so it is not internal to scripts.
package netlab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quicpeer/scripts/internal/harness"
)

// Namespace is a network namespace. Those that New makes have no name: they live as long as a cat
// in them does, and the cat as long as its standard input, a pipe from this program, is open.
type Namespace struct {
	enter []string // the words before a command that is to run in it
	cat   *exec.Cmd
	input io.Closer
}

// Here is the namespace that this program is in.
var Here = &Namespace{}

// packages are where the tools come from.
var packages = map[string]string{"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "tc": "iproute2", "nft": "nftables"}

// Missing says what is missing here for namespaces and these tools to work in them; nil: nothing.
func Missing(tools ...string) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a Linux system, this is %s", runtime.GOOS)
	}
	for _, tool := range append([]string{"unshare", "nsenter", "ip"}, tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s of %s: %w", tool, packages[tool], err)
		}
	}
	ns, err := New()
	if err != nil {
		return err
	}
	ns.Close()
	return nil
}

// New makes a namespace. Root needs nothing else; others are root in a user namespace of
// their own, which not every system allows.
func New() (*Namespace, error) {
	if ns, err := unshare(nil, "--net"); err == nil {
		return ns, nil
	}
	ns, err := unshare(nil, "--user", "--map-root-user", "--net")
	if err != nil {
		return nil, fmt.Errorf("network namespaces, by root or by a user who may make user namespaces: %w", err)
	}
	ns.enter = append(ns.enter, "--user", "--preserve-credentials")
	return ns, nil
}

// New makes another namespace that can be connected to this one.
func (ns *Namespace) New() (*Namespace, error) {
	other, err := unshare(ns.enter, "--net")
	if err != nil {
		return nil, err
	}
	if n := len(other.enter); len(ns.enter) > n {
		other.enter = append(other.enter, ns.enter[n:]...) // the user namespace, if there is one
	}
	return other, nil
}

// named is a namespace to which ip netns has given a name.
func named(name string) *Namespace { return &Namespace{enter: []string{"ip", "netns", "exec", name}} }

// unshare makes namespaces of the kinds that the flags name, from within others that enter
// leads into.
func unshare(enter []string, flags ...string) (*Namespace, error) {
	words := slices.Concat(enter, []string{"unshare"}, flags, []string{"cat"})
	cmd := exec.Command(words[0], words[1:]...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	harness.OwnGroup(cmd) // an interrupt is for the peers first
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// The echo says that cat runs, and so that the namespace is there.
	io.WriteString(input, "here\n")
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		input.Close()
		err := cmd.Wait() // then all of the complaint is there
		return nil, fmt.Errorf("%s (%w)", strings.TrimSpace(complaint.String()), err)
	}
	return &Namespace{enter: []string{"nsenter", "--target=" + strconv.Itoa(cmd.Process.Pid), "--net"}, cat: cmd, input: input}, nil
}

// Close takes a namespace of New away.
func (ns *Namespace) Close() {
	ns.input.Close()
	ns.cat.Wait()
}

// Command is a command that will run in the namespace: the process becomes it.
func (ns *Namespace) Command(words ...string) *exec.Cmd {
	words = slices.Concat(ns.enter, words)
	return exec.Command(words[0], words[1:]...)
}

// Run runs a command in the namespace with this standard input, and returns what it prints.
func (ns *Namespace) Run(input string, words ...string) (output string, err error) {
	cmd := ns.Command(words...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", words[0], err, strings.TrimSpace(string(out)))
	}
	return string(out), err
}

// IP gives ip many lines at once.
func (ns *Namespace) IP(lines ...string) error { return ns.batch("ip", lines) }

// Connect makes an interface that is connected to one in another namespace of New. Neither is up.
func (ns *Namespace) Connect(name string, other *Namespace, there string) error {
	return ns.IP(fmt.Sprintf("link add %s type veth peer name %s netns %d", name, there, other.cat.Process.Pid))
}

func (ns *Namespace) batch(tool string, lines []string) error {
	_, err := ns.Run(strings.Join(lines, "\n")+"\n", tool, "-batch", "-")
	return err
}

// set writes to files below /proc/sys/net, given as NAME=VALUE. Those that this kernel
// doesn't have are passed over.
func (ns *Namespace) set(values ...string) error {
	_, err := ns.Run("", append([]string{"sh", "-c",
		`cd /proc/sys/net; for v; do [ ! -e "${v%=*}" ] || echo "${v#*=}" >"${v%=*}" || exit; done`, "sh"}, values...)...)
	return err
}

// Alone runs a test in a network namespace of its own, which has an interface lo and nothing
// else, by this very program in another process. It reports whether that is where we are;
// the test has nothing to do elsewhere. It is skipped on a machine without namespaces.
// The flags are further ones of unshare.
func Alone(t *testing.T, flags ...string) (inside bool) {
	t.Helper()
	const here = "QUICPEER_TEST_HOST"
	if os.Getenv(here) == t.Name() {
		if err := Here.IP("link set lo up"); err != nil {
			t.Fatal(err)
		}
		return true
	}
	if err := Missing(); err != nil {
		t.Skip("needs ", err)
	}
	words := append([]string{"--net"}, flags...)
	if exec.Command("unshare", append(words, "true")...).Run() != nil {
		words = append(words, "--user", "--map-root-user")
	}
	cmd := exec.Command("unshare", append(words, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")...)
	cmd.Env = append(os.Environ(), here+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err == nil && !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		err = errors.New("the test did not run")
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}
