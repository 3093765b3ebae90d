package native_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/adaptertest"
	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/adapters/scripted"
)

// scriptedFixture serves a scripted wallet over a NATS server of its own. wrap may
// put something between.
func scriptedFixture(wrap func(native.Wallet) native.Wallet, opts ...nats.Option) func(*testing.T) adaptertest.Fixture {
	return func(t *testing.T) adaptertest.Fixture {
		s := startServer(t, "")
		w, err := scripted.New(scripted.Config{Confirm: 200 * time.Millisecond, Late: 200 * time.Millisecond, OneTime: true})
		if err != nil {
			t.Fatal(err)
		}
		serve(t, dial(t, s), native.ServiceConfig{Copies: w.Copies}, wrap(w))
		t.Cleanup(func() { _ = w.Close() })
		var serial atomic.Uint64
		f := adaptertest.Fixture{
			Adapter:  adapterFor(t, dial(t, s), native.AdapterOptions{}),
			Declines: map[string]tongma.Reason{},
			Code: func(outcome string) string {
				n := serial.Add(1)
				o, _ := scripted.ParseOutcome(outcome)
				issuer := ""
				style := scripted.Style(n%5 + 1)
				if style == scripted.Unified {
					issuer = "0042"
				}
				code, err := scripted.Code(style, issuer, o, n)
				if err != nil {
					t.Error(err)
				}
				return code
			},
			Merchant: func(outcome string) string {
				o, _ := scripted.ParseOutcome(outcome)
				return scripted.Merchant(o, fmt.Sprint(serial.Add(1)))
			},
			Debited: func(id tongma.PaymentID) int64 {
				if l, _ := w.Line(id); l.Moved {
					return l.Amount.Minor
				}
				return 0
			},
			Faulty:  faulty,
			Budgets: watched,
		}
		for _, o := range scripted.Outcomes() {
			if reason, ok := o.Declines(); ok {
				f.Declines[o.String()] = reason
			}
		}
		return f
	}
}

func TestContract(t *testing.T) {
	adaptertest.Run(t, scriptedFixture(func(w native.Wallet) native.Wallet { return w }))
}

func TestContractWithMemory(t *testing.T) {
	adaptertest.Run(t, scriptedFixture(func(w native.Wallet) native.Wallet {
		return native.Dedupe(w, native.NewMemoryStore(0, nil))
	}))
}

func TestContractWithFile(t *testing.T) {
	dir := t.TempDir()
	adaptertest.Run(t, func(t *testing.T) adaptertest.Fixture {
		store, err := native.OpenFileStore(dir, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return scriptedFixture(func(w native.Wallet) native.Wallet { return native.Dedupe(w, store) })(t)
	})
}

// faulty answers on the adapter's subject by hand.
func faulty(t *testing.T, fault adaptertest.Fault) adaptertest.Asker {
	s := startServer(t, "")
	far := dial(t, s)
	near := dial(t, s, nats.MaxReconnects(0))
	var reply func(*nats.Msg)
	switch fault {
	case adaptertest.Down:
		return adapterFor(t, near, native.AdapterOptions{})
	case adaptertest.Overloaded:
		serve(t, far, native.ServiceConfig{}, does{authorise: func(context.Context, tongma.Request) (tongma.Answer, error) {
			return tongma.Answer{}, &tongma.Error{Reason: tongma.AdapterBusy}
		}})
		return adapterFor(t, near, native.AdapterOptions{})
	case adaptertest.ConnectionLost:
		reply = func(*nats.Msg) { go s.Shutdown() }
	default:
		reply = func(m *nats.Msg) { _ = m.Respond(faultyAnswer(t, fault, m.Data)) }
	}
	if _, err := far.Subscribe(tongma.AdapterSubject("wallet", tongma.OpAuthorise), reply); err != nil {
		t.Fatal(err)
	}
	_ = far.Flush()
	return adapterFor(t, near, native.AdapterOptions{})
}

func faultyAnswer(t *testing.T, fault adaptertest.Fault, request []byte) []byte {
	r, err := tongma.ParseRequest(request)
	if err != nil {
		t.Error(err)
	}
	a := tongma.Answer{Payment: r.Payment, Outcome: tongma.Approved, Status: tongma.Paid, Amount: r.Amount}
	switch fault {
	case adaptertest.Unreadable:
		return []byte("<approved/>")
	case adaptertest.Empty:
		return nil
	case adaptertest.Truncated:
		whole := a.AppendJSON(nil)
		return whole[:len(whole)-1]
	case adaptertest.NoOutcome:
		return []byte(`{"payment":"` + r.Payment.String() + `"}`)
	case adaptertest.WrongPayment:
		a.Payment[15]++
	case adaptertest.WrongAmount:
		a.Amount.Minor--
	case adaptertest.WrongCurrency:
		a.Amount.Currency, _ = tongma.CurrencyByCode("JPY")
	case adaptertest.OpenDecline:
		a = tongma.Answer{Payment: r.Payment, Outcome: tongma.Declined, Status: tongma.Refused, Reason: tongma.SchemeSilent}
	}
	return a.AppendJSON(nil)
}

// watched notes the budgets that arrive.
func watched(t *testing.T) (adaptertest.Asker, func() []time.Duration) {
	s := startServer(t, "")
	var mu sync.Mutex
	var seen []time.Duration
	serve(t, dial(t, s), native.ServiceConfig{}, does{authorise: func(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Budget)
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > r.Budget {
			t.Errorf("the context ends at %v, with a budget of %v", end, r.Budget)
		}
		return tongma.Answer{Outcome: tongma.Approved}, nil
	}})
	return adapterFor(t, dial(t, s), native.AdapterOptions{}), func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}
