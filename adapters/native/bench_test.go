package native_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
)

// cpu returns the processor time of the whole process so far: asker, server and
// answerer together.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// links are the two ways in which a process reaches an embedded server.
var links = []struct {
	name string
	dial func(testing.TB) (asker, answerer *nats.Conn)
}{
	{"tcp", func(t testing.TB) (*nats.Conn, *nats.Conn) { s := startServer(t, ""); return dial(t, s), dial(t, s) }},
	{"in-process", func(t testing.TB) (*nats.Conn, *nats.Conn) {
		s := startServer(t, "")
		return dial(t, s, nats.InProcessServer(s)), dial(t, s, nats.InProcessServer(s))
	}},
}

// roundTrips measures ask under some askers at once.
func roundTrips(b *testing.B, askers int, ask func(context.Context, uint64) error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var n atomic.Uint64
	b.ReportAllocs()
	b.SetParallelism(max(askers/2, 1))
	b.ResetTimer()
	before := cpu()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := ask(ctx, n.Add(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(cpu()-before)/1e3/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "trips/s")
}

func exampleRequest(n uint64) tongma.Request {
	return tongma.Request{
		Payment: payment(n), Acquirer: "acq", Issuer: "wallet", Code: "130112345678901234", Amount: yuan(1250), Attempt: 1,
		Merchant: tongma.Merchant{ID: "M1", Name: "Noodles", City: "Chengdu", Country: "CN", MCC: "5812", Terminal: "T1"}, Order: "20261122-1",
	}
}

func BenchmarkAdapter(b *testing.B) {
	for _, link := range links {
		for _, askers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/askers=%d", link.name, askers), func(b *testing.B) {
				asker, answerer := link.dial(b)
				serve(b, answerer, native.ServiceConfig{}, yes{})
				a := adapterFor(b, asker, native.AdapterOptions{})
				roundTrips(b, askers, func(ctx context.Context, n uint64) error {
					_, err := a.Authorise(ctx, exampleRequest(n))
					return err
				})
			})
		}
	}
}

// approves is the shortest switch there is.
type approves struct{}

func (approves) Do(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	return tongma.Answer{Payment: payment(1), Outcome: tongma.Approved, Status: tongma.Paid, Amount: r.Amount, Entry: 7, At: 1_764_000_000_000}, nil
}

func (approves) Resolve(context.Context, tongma.Request) (native.Resolution, error) {
	return native.Resolution{}, nil
}

func BenchmarkClient(b *testing.B) {
	for _, link := range links {
		for _, askers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/askers=%d", link.name, askers), func(b *testing.B) {
				asker, answerer := link.dial(b)
				s, err := native.ServeSwitch(context.Background(), answerer, approves{}, native.SwitchOptions{})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = s.Stop(context.Background()) })
				c, err := native.NewClient(asker, "acq")
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(c.Close)
				roundTrips(b, askers, func(ctx context.Context, n uint64) error {
					r := exampleRequest(n)
					r.Payment, r.Key = tongma.PaymentID{}, fmt.Sprint("key-", n)
					_, err := c.Pay(ctx, r)
					return err
				})
			})
		}
	}
}

// BenchmarkLibraryRequest is BenchmarkAdapter with the client library's own
// request on the asker's side: what the mux is measured against.
func BenchmarkLibraryRequest(b *testing.B) {
	for _, link := range links {
		b.Run(link.name+"/askers=64", func(b *testing.B) {
			asker, answerer := link.dial(b)
			serve(b, answerer, native.ServiceConfig{}, yes{})
			subject := tongma.AdapterSubject("wallet", tongma.OpAuthorise)
			roundTrips(b, 64, func(ctx context.Context, n uint64) error {
				r := exampleRequest(n)
				m := &nats.Msg{Subject: subject, Data: r.AppendJSON(nil), Header: nats.Header{tongma.HeaderKey: {r.Payment.String()}}}
				reply, err := asker.RequestMsgWithContext(ctx, m)
				if err == nil {
					_, err = tongma.ParseAnswer(reply.Data)
				}
				return err
			})
		})
	}
}

// BenchmarkDedupe is BenchmarkAdapter with a wallet that remembers.
func BenchmarkDedupe(b *testing.B) {
	stores := map[string]func(testing.TB) native.Store{
		"memory": func(testing.TB) native.Store { return native.NewMemoryStore(0, nil) },
		"file": func(t testing.TB) native.Store {
			s, err := native.OpenFileStore(t.TempDir(), 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
	}
	for _, name := range []string{"memory", "file"} {
		b.Run(name+"/askers=64", func(b *testing.B) {
			store := stores[name](b)
			asker, answerer := links[0].dial(b)
			serve(b, answerer, native.ServiceConfig{}, native.Dedupe(yes{}, store))
			a := adapterFor(b, asker, native.AdapterOptions{})
			roundTrips(b, 64, func(ctx context.Context, n uint64) error {
				_, err := a.Authorise(ctx, exampleRequest(n))
				return err
			})
		})
	}
}
