package scripted_test

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/adaptertest"
	"github.com/tongma/tongma/adapters/scripted"
)

func payment(n byte) tongma.PaymentID { return tongma.PaymentID{6: 0x70, 15: n} }

func yuan(minor int64) tongma.Money {
	cny, _ := tongma.CurrencyByCode("CNY")
	return tongma.Money{Minor: minor, Currency: cny}
}

func wallet(t *testing.T, cfg scripted.Config) *scripted.Wallet {
	t.Helper()
	w, err := scripted.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func code(t testing.TB, style scripted.Style, o scripted.Outcome, serial uint64) string {
	t.Helper()
	issuer := ""
	if style == scripted.Unified {
		issuer = "0042"
	}
	c, err := scripted.Code(style, issuer, o, serial)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The wallet keeps the adapters' contract by itself, asked in the same process.
func TestContract(t *testing.T) {
	adaptertest.Run(t, func(t *testing.T) adaptertest.Fixture {
		w := wallet(t, scripted.Config{Confirm: 100 * time.Millisecond, Late: 100 * time.Millisecond, OneTime: true})
		var serial atomic.Uint64
		f := adaptertest.Fixture{
			Adapter:  w,
			Declines: map[string]tongma.Reason{},
			Code: func(outcome string) string {
				if outcome == scripted.LateApprove.String() {
					return "" // called directly, the late answer is heard: there is no link that could give up
				}
				o, _ := scripted.ParseOutcome(outcome)
				return code(t, scripted.WeChat, o, serial.Add(1))
			},
			Merchant: func(outcome string) string {
				o, _ := scripted.ParseOutcome(outcome)
				return scripted.Merchant(o, "7")
			},
			Debited: func(id tongma.PaymentID) int64 {
				if l, _ := w.Line(id); l.Moved {
					return l.Amount.Minor
				}
				return 0
			},
		}
		for _, o := range scripted.Outcomes() {
			if reason, ok := o.Declines(); ok {
				f.Declines[o.String()] = reason
			}
		}
		return f
	})
}

// Every outcome can be read back from a code of every style, codes of different
// serials differ, and merchants' numbers carry the same.
func TestCodesCarryTheirOutcome(t *testing.T) {
	lengths := map[scripted.Style]int{scripted.WeChat: 18, scripted.Alipay: 18, scripted.UnionPay: 19, scripted.Unified: 20}
	seen := map[string]bool{}
	for style := scripted.WeChat; style <= scripted.CPM; style++ {
		for _, o := range scripted.Outcomes() {
			for _, serial := range []uint64{0, 1, 9_999_999_999} {
				c := code(t, style, o, serial)
				if scripted.OutcomeOf(c) != o || scripted.StyleOf(c) != style || seen[c] {
					t.Errorf("%v %v %d: read as %v %v, seen %v", style, o, serial, scripted.StyleOf(c), scripted.OutcomeOf(c), seen[c])
				}
				if n := lengths[style]; n > 0 && len(c) != n {
					t.Errorf("%v has %d digits", style, len(c))
				}
				seen[c] = true
			}
			if got := scripted.OutcomeOfMerchant(scripted.Merchant(o, "0001")); got != o {
				t.Errorf("merchant of %v is read as %v", o, got)
			}
		}
		if _, err := scripted.Code(style, "0042", scripted.Approve, 1<<63); err == nil {
			t.Errorf("%v took a serial that is too long", style)
		}
	}
	wrong := []byte(code(t, scripted.Unified, scripted.Approve, 5))
	wrong[10] ^= 1
	if scripted.OutcomeOf(string(wrong)) != scripted.None {
		t.Error("a unified code with a wrong digit was read")
	}
}

func FuzzOutcomeOf(f *testing.F) {
	for style := scripted.WeChat; style <= scripted.CPM; style++ {
		f.Add(code(f, style, scripted.Vanish, 1))
	}
	f.Fuzz(func(t *testing.T, c string) {
		if o := scripted.OutcomeOf(c); o != scripted.None && o.String() == "" {
			t.Errorf("outcome %d has no name", o)
		}
	})
}

// The books of a log that is opened again are the books that were closed.
func TestBooksSurvive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "movements")
	open := func() *scripted.Wallet { return wallet(t, scripted.Config{LogFile: file}) }
	w := open()
	pay := func(n byte, o scripted.Outcome) tongma.Request {
		r := tongma.Request{Payment: payment(n), Code: code(t, scripted.Alipay, o, uint64(n)), Amount: yuan(1000 + int64(n))}
		if _, err := w.Authorise(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	pay(1, scripted.Approve)
	second := pay(2, scripted.Approve)
	third := pay(3, scripted.Approve)
	waiting := pay(4, scripted.PendingForever)
	for _, r := range []tongma.Request{second, waiting, {Original: payment(9)}} {
		if a, err := w.Reverse(t.Context(), r); err != nil || a.Status != tongma.ReversedBack {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	for n, minor := range map[byte]int64{20: 400, 21: 100} {
		refund := tongma.Request{Payment: payment(n), Original: third.Payment, Amount: yuan(minor)}
		if a, err := w.Refund(t.Context(), refund); err != nil || a.Outcome != tongma.Approved {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	if a, err := w.Reverse(t.Context(), tongma.Request{Original: payment(21)}); err != nil || a.Status != tongma.ReversedBack {
		t.Fatalf("%+v, %v", a, err)
	}
	want := scripted.Total{Debited: 1001 + 1003, Refunded: 400, Reversed: 1002 + 100}
	before := w.Ledger()
	if got := before.Totals[yuan(0).Currency]; got != want {
		t.Errorf("totals %+v, want %+v", got, want)
	}
	_ = w.Close()
	again := open().Ledger()
	if got := again.Totals[yuan(0).Currency]; got != want {
		t.Errorf("totals after a restart %+v, want %+v", got, want)
	}
	if len(again.Lines) != len(before.Lines) {
		t.Errorf("%d lines, before %d", len(again.Lines), len(before.Lines))
	}
	for i := range min(len(again.Lines), len(before.Lines)) {
		if a, b := again.Lines[i], before.Lines[i]; a.Moved != b.Moved || a.Reversed != b.Reversed || a.Refunded.Minor != b.Refunded.Minor {
			t.Errorf("line %d: %+v, before %+v", i, a, b)
		}
	}
}

// The amount's last two digits tell what to do when the code leaves it to them,
// and a flaky wallet treats one payment the same way every time.
func TestByAmountAndFlaky(t *testing.T) {
	w := wallet(t, scripted.Config{})
	for minor, want := range map[int64]tongma.Reason{1251: tongma.InsufficientFunds, 1261: tongma.IssuerLimit, 1250: tongma.NoReason} {
		r := tongma.Request{Payment: payment(byte(minor)), Code: code(t, scripted.UnionPay, scripted.ByAmount, uint64(minor)), Amount: yuan(minor)}
		if a, err := w.Authorise(t.Context(), r); err != nil || a.Reason != want {
			t.Errorf("%d: %+v, %v", minor, a, err)
		}
	}
	run := func() (all []string) {
		w := wallet(t, scripted.Config{Seed: 7})
		for n := range byte(40) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			r := tongma.Request{Payment: payment(n), Code: code(t, scripted.WeChat, scripted.Flaky, uint64(n)), Amount: yuan(100)}
			a, err := w.Authorise(ctx, r)
			cancel()
			all = append(all, fmt.Sprint(a.Outcome, a.Reason, err != nil))
		}
		return all
	}
	first := run()
	if !reflect.DeepEqual(first, run()) {
		t.Error("the same seed gave other outcomes")
	}
	kinds := map[string]bool{}
	for _, k := range first {
		kinds[k] = true
	}
	if len(kinds) < 3 {
		t.Errorf("a flaky wallet did only %v", kinds)
	}
}
