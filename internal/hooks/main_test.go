package hooks

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// asHook says that this process is the command of a hook: its value is what to do. It does not
// begin with our prefix, so it comes through.
const asHook = "HOOKTEST_ACT"

func TestMain(m *testing.M) {
	if act := os.Getenv(asHook); act != "" {
		os.Exit(hook(act))
	}
	goleak.VerifyTestMain(m)
}

// report is what a hook says of itself.
type report struct {
	Args  []string
	Facts []string // our variables
	Body  []byte
}

// hook is the command of a hook, in a process of its own.
func hook(act string) (status int) {
	switch act {
	case "report": // as JSON to standard output
		r := report{Args: os.Args[1:]}
		for _, item := range os.Environ() {
			if strings.HasPrefix(item, prefix) {
				r.Facts = append(r.Facts, item)
			}
		}
		r.Body, _ = io.ReadAll(os.Stdin)
		json.NewEncoder(os.Stdout).Encode(r)
	case "echo":
		io.Copy(os.Stdout, os.Stdin)
	case "echo and fail":
		io.Copy(os.Stdout, os.Stdin)
		return 3
	case "tell": // the first word names a file to which it says that it runs, and which it then waits for
		body, _ := io.ReadAll(os.Stdin)
		f, err := os.OpenFile(os.Args[1], os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return 1
		}
		fmt.Fprintf(f, "%s\n", body)
		gate, err := os.Open(os.Args[2]) // a named pipe: it opens with its writer
		if err != nil {
			return 1
		}
		io.Copy(io.Discard, gate)
	case "wait if slow": // until somebody has opened the file that the word names for writing
		if body, _ := io.ReadAll(os.Stdin); string(body) != "slow" {
			return 0
		}
		gate, err := os.Open(os.Args[1])
		if err != nil {
			return 1
		}
		io.Copy(io.Discard, gate)
	case "hang":
		fmt.Println("hanging")
		select {}
	case "leave a child":
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), asHook+"=sleep")
		child.Stdout = os.Stdout
		if child.Start() != nil {
			return 1
		}
		fmt.Println("pid", child.Process.Pid)
	case "hang with a child":
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), asHook+"=sleep")
		child.Stdout = os.Stdout
		if child.Start() != nil {
			return 1
		}
		fmt.Println("pid", child.Process.Pid)
		select {}
	case "sleep":
		r, _, _ := os.Pipe() // nobody writes, and the runtime doesn't take it for a deadlock
		r.Read(make([]byte, 1))
	case "flood":
		line := strings.Repeat("x", 3000) + "\n"
		for range 1000 {
			os.Stdout.WriteString(line)
		}
	case "nothing":
	}
	return 0
}
