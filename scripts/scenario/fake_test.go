package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"quicpeer/certs"
)

// fakeVariable makes this test binary a peer that obeys the test, for the tests of the engine.
const fakeVariable = "SCENARIO_FAKE_PEER"

// fakePeer prints ready, and then does what its input says: an event is printed,
// a table command is answered with the IDs of the last "peers" line (ID! is one
// with a direct link), an invitation with a ticket, but for nobody, and
//
//	raw TEXT, err TEXT, peers ID..., big N, exit N, cut, args, hear, throw ADDRESS TEXT
//
// print a line, print to standard error, set the table, print N long lines, end,
// print the cut file, print the command line, listen for packets and print them,
// and send one.
func fakePeer(args []string) int {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGTERM)
	go func() {
		<-ignored
		os.Exit(7)
	}()
	option := func(names ...string) string {
		i := slices.IndexFunc(args, func(a string) bool { return slices.Contains(names, a) })
		if i < 0 || i+1 == len(args) {
			return ""
		}
		return args[i+1]
	}
	asJSON := slices.Contains(args, "--json")
	event := func(fields map[string]any) {
		if _, ok := fields["time"]; !ok {
			fields["time"] = time.Now().UTC().Format(time.RFC3339Nano)
		}
		b, err := json.Marshal(fields)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(b))
	}
	if asJSON && !slices.Contains(args, "--silent") {
		address := strings.Replace(option("--listen", "-listen", "-l"), ":0", ":4001", 1)
		event(map[string]any{"event": "ready", "id": option("--id"), "key": "SHA256:a+b/c", "listen": []string{address}})
	}
	peers := []map[string]any{}
	var conn net.PacketConn
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		word, rest, _ := strings.Cut(in.Text(), " ")
		switch {
		case strings.HasPrefix(word, "{"):
			var fields map[string]any
			if err := json.Unmarshal(in.Bytes(), &fields); err != nil {
				return 9
			}
			if fields["cmd"] == "table" {
				fields = map[string]any{"event": "table", "ref": fields["ref"], "peers": peers}
			}
			if fields["cmd"] == "invite" {
				fields["event"], fields["id"], fields["ticket"] = "invitation", fields["to"], fmt.Sprint("qp1", fields["to"], len(fields))
				if fields["to"] == "leaky" { // as a real one
					t := certs.Ticket{Network: certs.PublicKey{1}, ID: "leaky", Seed: [16]byte{1, 2, 3}}
					fields["ticket"] = t.Text()
				}
				if fields["to"] == "nobody" {
					fields["event"], fields["error"], fields["input"] = "error", "no, never", in.Text()
				}
			}
			if fields["cmd"] == "remove" {
				fields["event"] = "done"
			}
			event(fields)
		case word == "/invite" && rest == "nobody":
			fmt.Println("12:01:05 ? no, never")
		case word == "/invite":
			fmt.Printf("12:01:05 ! qp1x ? is not it\n12:01:05 * for %s\n    qp1%s\n", rest, strings.ReplaceAll(rest, " ", ""))
		case strings.HasPrefix(word, "/"):
			fmt.Println("typed: " + in.Text())
		case word == "raw":
			fmt.Println(rest)
		case word == "err":
			fmt.Fprintln(os.Stderr, rest)
		case word == "peers":
			peers = peers[:0]
			for _, id := range strings.Fields(rest) {
				id, direct := strings.CutSuffix(id, "!")
				peers = append(peers, map[string]any{"id": id, "direct": direct})
			}
		case word == "big":
			n, _ := strconv.Atoi(rest)
			for i := range n {
				event(map[string]any{"event": "big", "n": i, "body": strings.Repeat("x", 1000)})
			}
			fmt.Fprintln(os.Stderr, "all printed")
		case word == "exit":
			status, _ := strconv.Atoi(rest)
			return status
		case word == "cut":
			text, _ := os.ReadFile(option("--cut-file"))
			event(map[string]any{"event": "cut", "text": string(text)})
		case word == "args":
			event(map[string]any{"event": "args", "args": strings.Join(args, " ")})
		case word == "hear":
			var err error
			if conn, err = net.ListenPacket("udp", option("--listen")); err != nil {
				panic(err)
			}
			event(map[string]any{"event": "hearing"})
			go func() {
				for b := make([]byte, 1500); ; {
					n, from, err := conn.ReadFrom(b)
					if err != nil {
						panic(err)
					}
					event(map[string]any{"event": "heard", "text": string(b[:n]), "from": from.String()})
				}
			}()
		case word == "throw":
			where, text, _ := strings.Cut(rest, " ")
			to, err := net.ResolveUDPAddr("udp", where)
			if err != nil {
				panic(err)
			}
			_, err = conn.WriteTo([]byte(text), to)
			event(map[string]any{"event": "thrown", "ok": err == nil})
		}
	}
	return 0
}
