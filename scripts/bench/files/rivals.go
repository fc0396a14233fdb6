package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"quicpeer/scripts/internal/harness"
)

const croc = "croc"

// rival is another program that sends files.
type rival struct {
	name    string
	missing string // why it is skipped; empty: it is not
	run     func() (time.Duration, error)
	server  *harness.Process // that it needs; nil: none runs
}

// close ends the server.
func (v *rival) close() {
	if v.server != nil {
		v.server.Kill()
		<-v.server.Gone()
	}
}

// begins starts the server, and waits until it accepts connections at a port.
func (v *rival) begins(cmd *exec.Cmd, port int) (err error) {
	log := &strings.Builder{}
	cmd.Stderr = log
	if v.server, err = harness.Start(harness.Spec{Cmd: cmd, Line: func(*harness.Process, []byte) {}}); err != nil {
		return err
	}
	for range 100 {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-v.server.Gone():
			return fmt.Errorf("it has ended: %s", harness.Tail(log.String(), 3))
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("it accepts no connections")
}

// freePorts finds n consecutive free TCP ports of 127.0.0.1.
func freePorts(n int) (first int, err error) {
search:
	for range 100 {
		addresses, err := harness.FreeAddresses(1)
		if err != nil {
			return 0, err
		}
		_, port, _ := strings.Cut(addresses[0], ":")
		if first, err = strconv.Atoi(port); err != nil {
			return 0, err
		}
		for i := range n {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(first+i))
			if err != nil {
				continue search
			}
			l.Close()
		}
		return first, nil
	}
	return 0, errors.New("no free TCP ports on 127.0.0.1")
}

// timed runs a command that receives the file, syncs the file and removes it.
func timed(cmd *exec.Cmd, file string) (time.Duration, error) {
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, harness.Tail(string(out), 3))
	}
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	err = errors.Join(f.Sync(), f.Close())
	took := time.Since(began)
	return took, errors.Join(err, os.Remove(file))
}

// startSCP starts an sshd with keys of its own.
func (o options) startSCP() (*rival, error) {
	v := &rival{name: "scp"}
	for _, program := range []string{"scp", "ssh-keygen", o.sshd} {
		if _, err := exec.LookPath(program); err != nil {
			v.missing = err.Error()
			return v, nil
		}
	}
	dir := filepath.Join(o.work, "ssh")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return v, err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, key := range []string{"host", "key"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", in(key)).CombinedOutput(); err != nil {
			return v, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	port, err := freePorts(1)
	if err != nil {
		return v, err
	}
	conf := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %d\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n", port, in("host"), in("key.pub"))
	if err := os.WriteFile(in("conf"), []byte(conf), 0o600); err != nil {
		return v, err
	}
	if err := v.begins(exec.Command(o.sshd, "-f", in("conf"), "-D", "-e"), port); err != nil {
		v.missing = "sshd: " + err.Error()
		return v, nil
	}
	me, err := user.Current()
	v.run = func() (time.Duration, error) {
		to := filepath.Join(o.work, "scp.bin")
		return timed(exec.Command("scp", "-q", "-P", strconv.Itoa(port), "-i", in("key"), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
			"-o", "IdentitiesOnly=yes", o.large, me.Username+"@127.0.0.1:"+to), to)
	}
	return v, err
}

// startCroc starts a relay of croc. The sender also runs one, whose address the receiver is given, so that the file goes
// directly from process to process.
func (o options) startCroc() (*rival, error) {
	v := &rival{name: croc}
	program, err := exec.LookPath(o.croc)
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		v.missing = err.Error()
		return v, nil
	}
	const ports = 5
	first, err := freePorts(2 * ports)
	if err != nil {
		return v, err
	}
	dir := filepath.Join(o.work, croc)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return v, err
	}
	env := append(harness.Environment(dir), "CROC_SECRET=1234-for-the-benchmark")
	command := func(words ...string) *exec.Cmd {
		cmd := exec.Command(program, words...)
		cmd.Env, cmd.Dir = env, dir
		return cmd
	}
	if err := v.begins(command("relay", "--host", "127.0.0.1", "--port", strconv.Itoa(first), "--transfers", strconv.Itoa(ports-1)), first); err != nil {
		return v, err
	}
	relay := []string{"--yes", "--overwrite", "--ignore-stdin", "--no-compress", "--disable-clipboard", "--relay", "127.0.0.1:" + strconv.Itoa(first)}
	v.run = func() (time.Duration, error) {
		local := strconv.Itoa(first + ports)
		ready := make(chan struct{}, 1)
		from, err := harness.Start(harness.Spec{
			Cmd:  command(slices.Concat(relay, []string{"send", "--port", local, "--transfers", strconv.Itoa(ports - 1), o.large})...),
			Line: func(*harness.Process, []byte) {},
			Complaint: func(_ *harness.Process, line []byte) {
				if bytes.HasPrefix(line, []byte("On the other computer")) { // it has hashed the file
					time.Sleep(2 * time.Second) // it does not say when it has reached the relays
					ready <- struct{}{}
				}
			},
		})
		if err != nil {
			return 0, err
		}
		defer func() {
			from.Kill()
			<-from.Gone()
		}()
		select {
		case <-ready:
		case <-from.Gone():
			return 0, fmt.Errorf("its sender has ended with status %s", from.State().Status)
		case <-time.After(time.Minute):
			return 0, errors.New("its sender is not ready after a minute")
		}
		return timed(command(append(slices.Clone(relay), "--ip", "127.0.0.1:"+local)...), filepath.Join(dir, filepath.Base(o.large)))
	}
	return v, nil
}
