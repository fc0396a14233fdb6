package reach

import (
	"fmt"
	"strings"
	"testing"
)

// TestCandidates: the order in which a peer's addresses are dialled.
func TestCandidates(t *testing.T) {
	const ours, theirs = "192.168.1.2:5000", "192.168.1.3:4001"
	for _, test := range []struct {
		name      string
		own       string // addresses of ours, with their subnets
		seen      string // where we are seen
		addresses string // of the peer
		observed  string
		last      string // of a link to it
		want      string // with the head starts in ms
	}{
		{"one LAN", ours, "", theirs, "", "", theirs + "+0"},
		{"another subnet of the site", ours, "", "192.168.7.3:4001", "", "", "192.168.7.3:4001+0"},
		{"all kinds", ours, "", "[2001:db8::5]:1 8.8.4.4:1 10.0.0.5:1 127.0.0.1:1 192.168.1.3:1", "203.0.113.2:1", "",
			"192.168.1.3:1+0 [2001:db8::5]:1+100 8.8.4.4:1+150 203.0.113.2:1+200 10.0.0.5:1+450"},
		{"loopback alone, of a peer elsewhere", ours, "", "127.0.0.1:4001 [::1]:4001", "", "", ""},
		{"loopback alone, of a peer that was met there", ours, "", "127.0.0.1:4001", "", "127.0.0.1:4001", "127.0.0.1:4001+0"},
		{"nothing but loopback on both sides", "127.0.0.1:5000 [::1]:5000", "", "127.0.0.1:4001 [::1]:4001", "", "", "127.0.0.1:4001+0 [::1]:4001+0"},
		{"nothing but loopback, our own address", "127.0.0.1:5000", "", "127.0.0.1:5000", "", "", ""},
		{"a cable between two laptops", "169.254.1.2:5000", "", "169.254.1.3:4001", "", "", "169.254.1.3:4001+0"},
		{"two homes with the same private addresses", ours, "203.0.113.1:4001", theirs, "203.0.113.2:4001", "", "203.0.113.2:4001+0 192.168.1.3:4001+250"},
		{"behind one NAT", ours, "203.0.113.1:4001", theirs, "203.0.113.1:4002", "", "192.168.1.3:4001+0 203.0.113.1:4002+100"},
		{"two LANs behind one NAT", ours, "203.0.113.1:4001", "192.168.7.3:4001", "203.0.113.1:4002", "", "192.168.7.3:4001+0 203.0.113.1:4002+100"},
		{"a bridge of containers that both have", ours + " 172.17.0.1:5000", "", "172.17.0.1:4001 192.168.1.3:4001", "", "", "192.168.1.3:4001+0 172.17.0.1:4001+100"},
		{"two peers of one host", ours + " 172.17.0.1:5000", "", "192.168.1.2:4001 172.17.0.1:4001", "", "", "192.168.1.2:4001+0 172.17.0.1:4001+0"},
		{"our own address", ours, "", "192.168.1.2:5000", "", "", ""},
		{"nowhere", ours, "", "0.0.0.0:1 224.0.0.1:1 255.255.255.255:1 [fe80::1]:1 [ff02::1]:1", "", "", ""},
		{"in no record, but reached over loopback", ours, "", "", "", "127.0.0.1:4001", "127.0.0.1:4001+0"},
		{"in no record, and reached elsewhere", ours, "", "", "", "198.51.100.1:4001", ""},
		{"too many", ours, "", "10.0.0.1:1 10.0.0.2:1 10.0.0.3:1 10.0.0.4:1 10.0.0.5:1 10.0.0.6:1 10.0.0.7:1 10.0.0.8:1 10.0.0.9:1 192.168.1.3:1", "", "",
			"192.168.1.3:1+0 10.0.0.1:1+100 10.0.0.2:1+100 10.0.0.3:1+100 10.0.0.4:1+100 10.0.0.5:1+100 10.0.0.6:1+100 10.0.0.7:1+100"},
	} {
		r := newRig(t, test.own)
		if test.seen != "" {
			r.seeing("one", test.seen)
		}
		e := r.peer("peer", test.addresses, strings.Fields(test.observed)...)
		e.With().LastAddress = test.last
		var got []string
		for _, c := range r.where.Candidates(e, true, nil) {
			got = append(got, fmt.Sprintf("%s+%d", c.Address, c.After.Milliseconds()))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s:\n  got  %s\n  want %s", test.name, strings.Join(got, " "), test.want)
		}
		for _, c := range r.where.Candidates(e, false, nil) {
			if test.observed != "" && c.Address == test.observed {
				t.Errorf("%s: %s before a SYNC", test.name, c.Address)
			}
		}
	}
}

// TestLoopbackOfOthers: only peers that are on the same host, as far as they can tell, dial the
// loopback address of a record.
func TestLoopbackOfOthers(t *testing.T) {
	const here, lan, elsewhere = "127.0.0.1:4001", "192.168.7.5:4001", "[fe80::1%eth0]:4001"
	for _, test := range []struct {
		name, own, neighbour, record, want string
	}{
		{"nobody has a network", "127.0.0.1:5000 [::1]:5000", here, "127.0.0.1:4002 [::1]:4002", "127.0.0.1:4002 [::1]:4002"},
		{"we have one", "192.168.7.2:5000", lan, "127.0.0.1:4002 [::1]:4002", ""},
		{"we have one, and were told by a neighbour on this host", "192.168.7.2:5000", here, "127.0.0.1:4002", ""},
		{"we have one, and so has the other", "192.168.7.2:5000", lan, "127.0.0.1:4002 192.168.7.3:4002", "192.168.7.3:4002"},
		{"we have a way out", "127.0.0.1:5000", elsewhere, "127.0.0.1:4002", ""},
	} {
		r := newRig(t, test.own)
		r.linked("one", test.neighbour, nil)
		r.peer("seven", test.record)
		r.Want("seven")
		r.settle()
		var got []string
		for _, d := range r.out.Dials {
			for _, c := range d.Candidates {
				got = append(got, c.Address)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: dials %q, not %q", test.name, got, test.want)
		}
	}
}
