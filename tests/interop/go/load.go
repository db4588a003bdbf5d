package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
)

// Load on a relay, for the benchmark: many peers in one process, and bulk data.

const (
	sinkProtocol = "/sink/1.0.0"
	longPatience = 120 * time.Second
)

// serveSink counts what comes and says how much it was once the sender has ended its side.
func serveSink(stream network.Stream) {
	defer stream.Close()
	count, err := io.Copy(io.Discard, stream)
	if err != nil {
		stream.Reset()
		return
	}
	binary.Write(stream, binary.BigEndian, count)
}

// send writes size bytes to the peer's sink and returns the time until it had them all.
func send(ctx context.Context, h host.Host, id peer.ID, size int) (fields, error) {
	stream, err := h.NewStream(ctx, id, sinkProtocol)
	if err != nil {
		return nil, err
	}
	defer stream.Reset()
	stream.SetDeadline(time.Now().Add(longPatience))
	chunk := make([]byte, 64<<10)
	started := time.Now()
	for left := size; left > 0; left -= len(chunk) {
		if _, err := stream.Write(chunk[:min(left, len(chunk))]); err != nil {
			return nil, err
		}
	}
	if err := stream.CloseWrite(); err != nil {
		return nil, err
	}
	var count int64
	if err := binary.Read(stream, binary.BigEndian, &count); err != nil {
		return nil, err
	}
	if count != int64(size) {
		return nil, fmt.Errorf("%d of %d bytes arrived", count, size)
	}
	return fields{"seconds": time.Since(started).Seconds()}, nil
}

// pings measures round trips on one stream, one after the other, in milliseconds.
func pings(ctx context.Context, h host.Host, id peer.ID, count int) (fields, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := ping.Ping(ctx, h, id)
	times := []float64{}
	for range count {
		result := <-results
		if result.Error != nil {
			return nil, result.Error
		}
		times = append(times, float64(result.RTT.Nanoseconds())/1e6)
	}
	return fields{"ms": times}, nil
}

// A crowd is many small peers of this process, each with an identity of its own.
type crowd struct {
	sync.Mutex
	hosts []host.Host
}

var theCrowd crowd

func smallHost() (host.Host, error) {
	return libp2p.New(
		libp2p.NoListenAddrs, libp2p.NoTransports, libp2p.Transport(websocket.New),
		libp2p.Security(noise.ID, noise.New), libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.DisableMetrics(), libp2p.DisableRelay(),
		libp2p.DisableIdentifyAddressDiscovery(),
	)
}

// each runs work on every peer of the crowd, so many at a time, and returns the time it all took.
func (c *crowd) each(at int, work func(host.Host) error) (fields, error) {
	c.Lock()
	defer c.Unlock()
	todo, failed := make(chan host.Host), make(chan error, at)
	started := time.Now()
	for range at {
		go func() {
			var first error
			for h := range todo {
				if err := work(h); err != nil && first == nil {
					first = err
				}
			}
			failed <- first
		}()
	}
	for _, h := range c.hosts {
		todo <- h
	}
	close(todo)
	var err error
	for range at {
		if one := <-failed; one != nil {
			err = one
		}
	}
	return fields{"seconds": time.Since(started).Seconds(), "count": len(c.hosts)}, err
}

func (c *crowd) grow(count int) (fields, error) {
	c.Lock()
	defer c.Unlock()
	for len(c.hosts) < count {
		h, err := smallHost()
		if err != nil {
			return nil, err
		}
		c.hosts = append(c.hosts, h)
	}
	return fields{"count": len(c.hosts)}, nil
}

// load runs the commands of the benchmark that concern the crowd.
func load(c command) (fields, error) {
	if c.Cmd == "crowd" {
		return theCrowd.grow(c.Count)
	}
	relay, err := peer.AddrInfoFromString(c.Address)
	if err != nil {
		return nil, err
	}
	within := func(work func(context.Context, host.Host) error) func(host.Host) error {
		return func(h host.Host) error {
			ctx, cancel := context.WithTimeout(context.Background(), longPatience)
			defer cancel()
			return work(ctx, h)
		}
	}
	switch c.Cmd {
	case "crowd-connect":
		return theCrowd.each(c.At, within(func(ctx context.Context, h host.Host) error { return h.Connect(ctx, *relay) }))
	case "crowd-reserve":
		return theCrowd.each(c.At, within(func(ctx context.Context, h host.Host) error {
			_, err := client.Reserve(ctx, h, *relay)
			return err
		}))
	case "crowd-leave":
		return theCrowd.each(c.At, func(h host.Host) error { return h.Network().ClosePeer(relay.ID) })
	}
	return nil, fmt.Errorf("no command %s", c.Cmd)
}
