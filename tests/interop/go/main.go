// A go-libp2p peer for the tests: it reserves on a relay, dials through it and is dialled, told what to do by JSON
// lines on standard input and answering on standard output like the programs in ../js.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	echoProtocol = "/echo/1.0.0"
	patience     = 10 * time.Second
)

type command struct {
	ID      int    `json:"id"`
	Cmd     string `json:"cmd"`
	Address string `json:"address"`
	Peer    string `json:"peer"`
	Size    int    `json:"size"`
	Count   int    `json:"count"`
	At      int    `json:"at"`
}

type fields map[string]any

var output sync.Mutex

func emit(value fields) {
	output.Lock()
	defer output.Unlock()
	line, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(line, '\n'))
}

func main() {
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	h.SetStreamHandler(echoProtocol, func(stream network.Stream) {
		defer stream.Close()
		if _, err := io.Copy(stream, stream); err != nil {
			stream.Reset()
		}
	})
	h.SetStreamHandler(sinkProtocol, serveSink)
	h.Network().Notify(&network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			emit(fields{"event": "connection", "peer": c.RemotePeer().String(), "limited": c.Stat().Limited,
				"inbound": c.Stat().Direction == network.DirInbound})
		},
	})
	emit(fields{"event": "ready", "peer": h.ID().String()})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			emit(fields{"event": "error", "error": err.Error()})
			continue
		}
		go answer(h, c)
	}
	h.Close()
}

func answer(h host.Host, c command) {
	limit := patience
	if c.Cmd == "pings" {
		limit = longPatience
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// Most relays of the tests set limits, and go opens nothing over those unless it is allowed.
	ctx = network.WithAllowLimitedConn(ctx, "the tests ask for it")
	reply, err := run(ctx, h, c)
	if err != nil {
		emit(fields{"id": c.ID, "ok": false, "error": err.Error()})
		return
	}
	reply["id"], reply["ok"] = c.ID, true
	emit(reply)
}

func run(ctx context.Context, h host.Host, c command) (fields, error) {
	switch c.Cmd {
	case "reserve":
		return reserve(ctx, h, c.Address)
	case "connect":
		return connect(ctx, h, c.Address)
	case "ping":
		return withPeer(c.Peer, func(id peer.ID) (fields, error) { return pingOnce(ctx, h, id) })
	case "echo":
		return withPeer(c.Peer, func(id peer.ID) (fields, error) { return echo(ctx, h, id, c.Size) })
	case "send":
		return withPeer(c.Peer, func(id peer.ID) (fields, error) { return send(ctx, h, id, c.Size) })
	case "pings":
		return withPeer(c.Peer, func(id peer.ID) (fields, error) { return pings(ctx, h, id, c.Count) })
	}
	return load(c)
}

func withPeer(text string, f func(peer.ID) (fields, error)) (fields, error) {
	id, err := peer.Decode(text)
	if err != nil {
		return nil, err
	}
	return f(id)
}

func reserve(ctx context.Context, h host.Host, address string) (fields, error) {
	relay, err := peer.AddrInfoFromString(address)
	if err != nil {
		return nil, err
	}
	if err := h.Connect(ctx, *relay); err != nil {
		return nil, err
	}
	reservation, err := client.Reserve(ctx, h, *relay)
	if err != nil {
		var refused client.ReservationError
		if errors.As(err, &refused) {
			return nil, fmt.Errorf("refused: %s: %s", refused.Status, refused.Reason)
		}
		return nil, err
	}
	addresses := []string{}
	for _, a := range reservation.Addrs {
		addresses = append(addresses, a.String())
	}
	// Reserve has verified it: signed by the relay, for us, not out of date.
	return fields{
		"expires": reservation.Expiration.Unix(), "addresses": addresses, "voucher": reservation.Voucher != nil,
		"limit_seconds": int(reservation.LimitDuration.Seconds()), "limit_bytes": reservation.LimitData,
	}, nil
}

func connect(ctx context.Context, h host.Host, address string) (fields, error) {
	a, err := ma.NewMultiaddr(address)
	if err != nil {
		return nil, err
	}
	target, err := peer.AddrInfoFromP2pAddr(a)
	if err != nil {
		return nil, err
	}
	if err := h.Connect(ctx, *target); err != nil {
		return nil, err
	}
	return pingOnce(ctx, h, target.ID)
}

func pingOnce(ctx context.Context, h host.Host, id peer.ID) (fields, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := <-ping.Ping(ctx, h, id)
	if result.Error != nil {
		return nil, result.Error
	}
	limited := false
	for _, c := range h.Network().ConnsToPeer(id) {
		limited = limited || c.Stat().Limited
	}
	return fields{"rtt": float64(result.RTT.Microseconds()) / 1000, "limited": limited}, nil
}

// echo sends size bytes to the peer's echo and compares what comes back.
func echo(ctx context.Context, h host.Host, id peer.ID, size int) (fields, error) {
	stream, err := h.NewStream(ctx, id, echoProtocol)
	if err != nil {
		return nil, err
	}
	defer stream.Reset()
	if deadline, ok := ctx.Deadline(); ok {
		stream.SetDeadline(deadline)
	}
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(i * 31 >> 3)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := stream.Write(sent)
		failed <- errors.Join(err, stream.CloseWrite())
	}()
	back, err := io.ReadAll(stream)
	if err := errors.Join(err, <-failed); err != nil {
		return nil, err
	}
	return fields{"received": len(back), "same": string(back) == string(sent)}, nil
}
