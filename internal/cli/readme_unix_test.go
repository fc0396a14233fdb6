//go:build unix

package cli

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// readmeCommands returns the shell commands in README.md that start a peer, in order,
// except for those of the NAT laboratory.
func readmeCommands(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, block := range regexp.MustCompile("(?s)\n```\n(.*?)\n```\n").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.SplitSeq(block[1], "\n") {
			if strings.HasPrefix(line, "./quicpeer ") || strings.Contains(line, "| ./quicpeer ") {
				commands = append(commands, line)
			}
		}
	}
	if len(commands) < 7 {
		t.Fatalf("only %d commands found", len(commands))
	}
	return commands
}

// The examples can be tried one after the other without ending any: none uses a name or a
// port of an earlier one.
func TestReadmeNamesAreFree(t *testing.T) {
	taken := map[string]string{}
	for _, command := range readmeCommands(t) {
		for _, m := range regexp.MustCompile(`-(id|listen) \S+`).FindAllString(command, -1) {
			if before := taken[m]; before != "" {
				t.Errorf("%q and %q: %s twice", before, command, m)
			}
			taken[m] = command
		}
	}
}

// The examples work as written, in order and in an empty home directory. Those that ask the
// whole LAN or a router are not tried, and the ports are replaced by free ones.
func TestReadmeExamples(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "quicpeer")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "photos"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.pdf", "photos/sea.jpg"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ports := strings.NewReplacer(":5000", freePort(t), ":5001", freePort(t), ":5020", freePort(t), ":5030", freePort(t))
	heard := make(chan string, 100) // what the peers print
	tried := 0
	for _, command := range readmeCommands(t) {
		if strings.Contains(command, "-discover") || strings.Contains(command, "-map-port") {
			continue
		}
		tried++
		before, after, piped := strings.Cut(ports.Replace(command), "| ")
		if !piped {
			before, after = "", before
		} else {
			before += "| "
		}
		cmd := exec.Command("sh", "-c", before+"exec "+after)
		cmd.Dir = dir
		cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
		var problems strings.Builder
		cmd.Stderr = &problems
		if asks := regexp.MustCompile(`^\./quicpeer (-i \w+|file) `).MatchString(command); !piped && !asks {
			startExample(t, cmd, heard)
			continue
		}
		watchdog := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		if out, err := cmd.Output(); err != nil {
			t.Fatalf("%s: %v\n%s%s", command, err, out, problems.String())
		}
		watchdog.Stop()
	}
	if tried != 15 {
		t.Errorf("%d examples were tried", tried)
	}
	late := time.After(time.Minute)
	for _, want := range []string{"-> you: hello from a script", "watch -> you: the backup is done", "-> you: hello"} {
		for line := ""; !strings.HasSuffix(line, want); {
			select {
			case line = <-heard:
			case <-late:
				t.Fatalf("alice was not told %q", want)
			}
		}
	}
}

// startExample starts a peer that stays, and waits until it is in the network. Its output
// goes to heard as long as that has room.
func startExample(t *testing.T, cmd *exec.Cmd, heard chan<- string) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	ready := make(chan bool, 1)
	go func() {
		defer close(done)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if strings.Contains(lines.Text(), " * you are ") {
				ready <- true
			}
			select {
			case heard <- lines.Text():
			default:
			}
		}
		close(ready)
	}()
	watchdog := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		watchdog.Stop()
		cmd.Process.Kill()
		stdin.Close()
		<-done
		cmd.Wait()
	})
	if !<-ready {
		err := cmd.Wait()
		t.Fatalf("%v: %v\n%s", cmd.Args, err, cmd.Stderr)
	}
}

// freePort returns a port that was free a moment ago, as :PORT.
func freePort(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, port, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return ":" + port
}
