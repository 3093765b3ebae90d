package native_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
)

// startServer runs a NATS server for one test. With a store it has JetStream.
func startServer(t testing.TB, store string) *server.Server {
	t.Helper()
	return startServerWith(t, &server.Options{JetStream: store != "", StoreDir: store})
}

func startServerWith(t testing.TB, opts *server.Options) *server.Server {
	t.Helper()
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func dial(t testing.TB, s *server.Server, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), append(native.ConnectOptions(t.Name(), ""), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// payment returns the n-th payment id of a test.
func payment(n uint64) (id tongma.PaymentID) {
	id[6] = 0x70
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

func yuan(minor int64) tongma.Money {
	cny, _ := tongma.CurrencyByCode("CNY")
	return tongma.Money{Minor: minor, Currency: cny}
}

func adapterFor(t testing.TB, nc *nats.Conn, opts native.AdapterOptions) *native.Adapter {
	t.Helper()
	a := native.NewAdapter(nc, "wallet", opts)
	t.Cleanup(a.Close)
	return a
}

func serve(t testing.TB, nc *nats.Conn, cfg native.ServiceConfig, w native.Wallet) *native.Service {
	t.Helper()
	cfg.Scheme = "wallet"
	if cfg.Log == nil {
		cfg.Log = quiet
	}
	s, err := native.Serve(context.Background(), nc, cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

// yes approves everything at once.
type yes struct{ native.Unimplemented }

func (yes) Authorise(context.Context, tongma.Request) (tongma.Answer, error) {
	return tongma.Answer{Outcome: tongma.Approved, SchemeRef: "W1"}, nil
}

// does authorises as a function does.
type does struct {
	native.Unimplemented
	authorise func(context.Context, tongma.Request) (tongma.Answer, error)
}

func (d does) Authorise(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return d.authorise(ctx, r)
}
