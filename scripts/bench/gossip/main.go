// Command gossip is the rival of quicpeer's broadcasts: gossipsub, on hosts of go-libp2p. The
// command broadcast, which see, builds and runs it. It is a module of its own since go-libp2p
// v0.51.0 needs quic-go v0.64.1 and doesn't compile with the version that quicpeer has.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"quicpeer/scripts/bench/crowd"
)

// degree is the mean number of connections of a host, that of quicpeer's peers.
const degree = 8

// topic is what all hosts subscribe to.
const topic = "everyone"

func main() {
	n := flag.Int("n", 50, "hosts")
	flag.Parse()
	if err := crowd.Measure(*n, start); err != nil {
		fmt.Fprintln(os.Stderr, "gossip:", err)
		os.Exit(1)
	}
}

// hosts are stock hosts that listen on QUIC alone, with a router of gossipsub each. All is as the
// libraries have it, messages signed and checked, but for two options: an author sends to all its
// neighbours (flood publishing), which the specification wants and one has to ask for; and none of
// a burst is lost between router and reader, as would happen beyond 32 that wait to be read.
type hosts struct {
	hosts  []host.Host
	topics []*pubsub.Topic
}

func start(n int, heard func(at int, body string)) (crowd.Network, error) {
	h := &hosts{}
	for at := range n {
		if err := h.add(func(body string) { heard(at, body) }); err != nil {
			return nil, err
		}
	}
	return h, h.connect()
}

// add starts a host and reads what it gets from others.
func (h *hosts) add(heard func(body string)) error {
	ctx := context.Background()
	self, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"))
	if err != nil {
		return err
	}
	router, err := pubsub.NewGossipSub(ctx, self, pubsub.WithFloodPublish(true))
	if err != nil {
		return err
	}
	joined, err := router.Join(topic)
	if err != nil {
		return err
	}
	subscription, err := joined.Subscribe(pubsub.WithBufferSize(crowd.Messages))
	if err != nil {
		return err
	}
	go func() {
		for {
			m, err := subscription.Next(ctx)
			if err != nil {
				return
			}
			heard(string(m.Data))
		}
	}()
	h.hosts, h.topics = append(h.hosts, self), append(h.topics, joined)
	return nil
}

// connect connects the hosts, in a ring so that all are one piece and then at random, and waits
// until each knows that its neighbours have subscribed.
func (h *hosts) connect() error {
	n := len(h.hosts)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	edges := map[[2]int]bool{}
	for i := 0; len(edges) < min(n*degree, n*(n-1))/2; i++ {
		a, b := i, (i+1)%n
		if i >= n {
			a, b = rand.IntN(n), rand.IntN(n)
		}
		edge := [2]int{min(a, b), max(a, b)}
		if a == b || edges[edge] {
			continue
		}
		edges[edge] = true
		to := h.hosts[b]
		if err := h.hosts[a].Connect(ctx, peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}); err != nil {
			return err
		}
	}
	for i := range h.hosts {
		for len(h.topics[i].ListPeers()) < len(h.hosts[i].Network().Peers()) {
			if ctx.Err() != nil {
				return fmt.Errorf("a host knows of %d subscribers among its %d neighbours",
					len(h.topics[i].ListPeers()), len(h.hosts[i].Network().Peers()))
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

func (h *hosts) Say(from int, body string) error {
	return h.topics[from].Publish(context.Background(), []byte(body))
}
