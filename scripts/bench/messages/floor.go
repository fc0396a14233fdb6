package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
)

// The floor: the speed of bare quic-go with the TLS of quicpeer.

// acknowledgement is the floor's answer; its length is that of the design's measurement.
const acknowledgement = 9

var floorConfig = &quic.Config{MaxIncomingStreams: 1024, KeepAlivePeriod: time.Second}

func identity() *certs.Identity {
	seed := make([]byte, 32)
	rand.Read(seed)
	return certs.NewIdentity(seed)
}

func serveFloor() error {
	conf, err := identity().TLS(certs.PublicKey{}, nil)
	if err != nil {
		return err
	}
	listener, err := quic.ListenAddr("127.0.0.1:0", conf, floorConfig)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() {
		conn, err := listener.Accept(context.Background())
		for err == nil {
			var stream *quic.Stream
			if stream, err = conn.AcceptStream(context.Background()); err == nil {
				go acknowledge(stream)
			}
		}
	}()
	untilInputEnds()
	return listener.Close()
}

func acknowledge(stream *quic.Stream) {
	if _, err := io.ReadAll(stream); err != nil {
		return
	}
	stream.Write(make([]byte, acknowledgement))
	stream.Close()
}

type floorClient struct {
	process *process
	conn    *quic.Conn
}

func startFloor(string) (client, error) {
	p, err := start(peerOptions{})
	if err != nil {
		return nil, err
	}
	conf, err := identity().TLS(certs.PublicKey{}, nil)
	if err != nil {
		return nil, err
	}
	conn, err := quic.DialAddr(context.Background(), p.address, conf, floorConfig)
	if err != nil {
		return nil, err
	}
	return &floorClient{p, conn}, nil
}

func (c *floorClient) close() {
	c.conn.CloseWithError(0, "")
	c.process.close()
}

func (c *floorClient) run(inFlight int, d time.Duration) (trial, error) {
	var (
		workers sync.WaitGroup
		mu      sync.Mutex
		all     []time.Duration
		failed  error
	)
	begin := time.Now()
	for range inFlight {
		workers.Go(func() {
			var times []time.Duration
			message := make([]byte, body)
			for time.Since(begin) < d {
				sent := time.Now()
				if err := c.message(message); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed = errors.Join(failed, err)
					return
				}
				times = append(times, time.Since(sent))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, times...)
		})
	}
	workers.Wait()
	if failed != nil {
		return trial{}, failed
	}
	return summary(all, time.Since(begin)), nil
}

func (c *floorClient) message(message []byte) error {
	stream, err := c.conn.OpenStreamSync(context.Background())
	if err != nil {
		return err
	}
	if _, err := stream.Write(message); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	answer, err := io.ReadAll(stream)
	if err == nil && len(answer) != acknowledgement {
		err = fmt.Errorf("an acknowledgement of %d bytes", len(answer))
	}
	return err
}
