package api

import (
	"context"
	"encoding/csv"
	"fmt"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes/calendar"
)

func cny(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.CNY} }

// write puts entries into the bench's journal.
func (b *bench) write(entries ...clearing.Entry) (last clearing.Entry) {
	b.t.Helper()
	for _, e := range entries {
		res, err := b.engine.Ledger().Submit(context.Background(), e)
		if err != nil || res.Reason != tongma.NoReason {
			b.t.Fatalf("%s: %v %v", e.Kind, err, res.Reason)
		}
		last = *res.Entry
	}
	return last
}

var ids uint64

// post writes a payment from one to another in a model.
func (b *bench) post(model string, debtor, creditor tongma.ParticipantID, minor int64, legs ...clearing.Leg) tongma.PaymentID {
	b.t.Helper()
	ids++
	id := tongma.PaymentID{1, 15: byte(ids)}
	b.write(clearing.Entry{Kind: clearing.KindHold, Payment: id, Op: tongma.OpPay, Asker: creditor, Key: fmt.Sprint("post", ids), Debtor: debtor, Creditor: creditor, Amount: cny(minor), Model: model},
		clearing.Entry{Kind: clearing.KindPost, Payment: id, Legs: legs})
	return id
}

// open is the open window of a model.
func (b *bench) open(model string) (id tongma.WindowID) {
	b.t.Helper()
	if err := b.engine.Ledger().Read(context.Background(), func(book *clearing.Book) {
		for _, m := range book.Models() {
			if m.Name == model {
				id = m.Open
			}
		}
	}); err != nil || id == 0 {
		b.t.Fatalf("no window of %q is open: %v", model, err)
	}
	return id
}

func (b *bench) sheet(id tongma.WindowID) (s clearing.Sheet) {
	b.t.Helper()
	if err := b.engine.Ledger().Read(context.Background(), func(book *clearing.Book) { s, _ = book.Sheet(id) }); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// shortWindow has window 1 closed, instructed, and its debtor refused: wallet owes 100 to
// acq and 20 to other.
func shortWindow(t *testing.T) (*bench, tongma.PaymentID) {
	b := newBench(t)
	b.write(clearing.Entry{Kind: clearing.KindOpen, Model: "fast", Method: calendar.Gross})
	b.post("", "wallet", "acq", 10_000-2_000, clearing.Leg{Kind: 1, From: "acq", To: "other", Amount: cny(5)})
	late := b.post("", "wallet", "other", 2_000)
	b.post("fast", "acq", "other", 700)
	b.write(clearing.Entry{Kind: clearing.KindClose, ValueDate: 20261123}, clearing.Entry{Kind: clearing.KindInstruct, Window: 1})
	in := clearing.Instruct(b.sheet(1))
	b.write(in[0].Refuse(tongma.InsufficientFunds))
	return b, late
}

func TestAWindowShowsHowFarItIs(t *testing.T) {
	b, _ := shortWindow(t)
	w := decode[Window](t, b.ask("operator", "GET", "/v1/windows/1", ""))
	if w.State != "short" || w.Method != "multilateral" || w.Model != "" || w.ValueDate != "2026-11-23" || w.Compression["CNY"] != "99.95" || len(w.Legs) != 3 {
		t.Fatalf("%+v", w)
	}
	if l := w.Legs[2]; l.Debtor != "wallet" || l.Creditor != "" || l.Amount != "100.00" || l.Due != "100.00" || l.Settled != "0.00" || l.Tries != 1 || !l.Short {
		t.Fatalf("%+v", l)
	}
	list := decode[WindowsPage](t, b.ask("operator", "GET", "/v1/windows?model=fast", ""))
	if len(list.Windows) != 1 || list.Windows[0].Window != b.open("fast").String() || list.Windows[0].Method != "gross" || list.Windows[0].Legs[0].Amount != "7.00" {
		t.Fatalf("%+v", list)
	}
	if list = decode[WindowsPage](t, b.ask("operator", "GET", "/v1/windows?model=", "")); len(list.Windows) != 2 || list.Windows[0].Window != b.open("").String() {
		t.Fatalf("%+v", list)
	}
	if r := b.ask("operator", "GET", "/v1/windows?model=odd", ""); r.status != 422 || !strings.Contains(string(r.body), `"TM-5005"`) { // a misspelt model must not pass as an empty one
		t.Fatalf("%d %s", r.status, r.body)
	}
	if list = decode[WindowsPage](t, b.ask("operator", "GET", "/v1/windows", "")); len(list.Windows) < 3 {
		t.Fatalf("%+v", list)
	}
}

// TestNobodyElseLearnsWhoIsShort: a participant sees its own leg, and of the window
// only what everybody may know.
func TestNobodyElseLearnsWhoIsShort(t *testing.T) {
	b, _ := shortWindow(t)
	w := decode[Window](t, b.ask("acq", "GET", "/v1/windows/1", ""))
	if w.State != "collecting" || len(w.Legs) != 1 || w.Legs[0].Creditor != "acq" || len(w.Compression) != 0 || len(w.ToMove) != 0 || len(w.Nets) != 1 || len(w.Matrix) != 2 || w.Payments != 1 {
		t.Fatalf("%+v", w)
	}
	if w = decode[Window](t, b.ask("wallet", "GET", "/v1/windows/1", "")); w.State != "short" || len(w.Legs) != 1 || !w.Legs[0].Short {
		t.Fatalf("%+v", w)
	}
}

func TestASheetIsATableToo(t *testing.T) {
	b, _ := shortWindow(t)
	got := b.ask("operator", "GET", "/v1/windows/1", "", "Accept", "text/csv")
	rows, err := csv.NewReader(strings.NewReader(string(got.body))).ReadAll()
	if err != nil || got.header.Get("Content-Type") != "text/csv" || len(rows) != 1+3+3+3 || !strings.Contains(got.header.Get("Content-Disposition"), "win_000001.csv") {
		t.Fatalf("%v: %s", err, got.body)
	}
	if last := strings.Join(rows[9], " "); !strings.HasPrefix(last, "leg win_000001") || !strings.HasSuffix(last, "CNY wallet     100.00 0.00 100.00") {
		t.Errorf("%q", last)
	}
	b.refused(b.ask("operator", "GET", "/v1/windows/1?format=pdf", ""), 400, tongma.FieldInvalid)
}

func TestAWindowSaysWhichPaymentsItHolds(t *testing.T) {
	b, late := shortWindow(t)
	b.write(clearing.Entry{Kind: clearing.KindDefer, Window: 1, Payment: late}, clearing.Entry{Kind: clearing.KindRecast, Window: 1})
	page := decode[WindowItems](t, b.ask("operator", "GET", "/v1/windows/1/payments?limit=1", ""))
	if len(page.Items) != 1 || page.Items[0].Amount != "80.00" || len(page.Items[0].Fees) != 1 || page.Next == 0 {
		t.Fatalf("%+v", page)
	}
	page = decode[WindowItems](t, b.ask("operator", "GET", fmt.Sprint("/v1/windows/1/payments?limit=1&after=", page.Next), ""))
	if len(page.Items) != 1 || page.Items[0].DeferredTo != b.open("").String() || page.Items[0].Payment != late.String() || page.Next != 0 {
		t.Fatalf("%+v", page)
	}
	page = decode[WindowItems](t, b.ask("other", "GET", "/v1/windows/1/payments", ""))
	if len(page.Items) != 2 || page.Items[0].Debtor != "" || page.Items[0].Amount != "" || len(page.Items[0].Fees) != 1 || page.Items[1].Debtor != "wallet" {
		t.Fatalf("other sees its fee, and its payment: %+v", page)
	}
	page = decode[WindowItems](t, b.ask("operator", "GET", "/v1/windows/"+b.open("").String()+"/payments", ""))
	if len(page.Items) != 1 || !page.Items[0].DeferredIn {
		t.Fatalf("%+v", page)
	}
	if page = decode[WindowItems](t, b.ask("acq", "GET", "/v1/windows/"+b.open("").String()+"/payments", "")); len(page.Items) != 0 {
		t.Fatalf("%+v", page)
	}
	b.refused(b.ask("operator", "GET", "/v1/windows/99/payments", ""), 404, tongma.WindowUnknown)
	b.refused(b.ask("operator", "GET", "/v1/windows/1/payments?after=x", ""), 400, tongma.FieldInvalid)
}

func TestShortWindowsAreFigures(t *testing.T) {
	b, _ := shortWindow(t)
	text := string(b.ask("operator", "GET", "/metrics", "").body)
	for _, line := range []string{`tongma_window_state{state="short"} 1`, `tongma_legs_due{currency="CNY",model=""} 3`, `tongma_net_sum_nonzero{currency="CNY"} 0`} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	in := clearing.Instruct(b.sheet(1))[0]
	in.Amount.Minor = 4_000
	b.write(in.Confirm())
	if text = string(b.ask("operator", "GET", "/metrics", "").body); !strings.Contains(text, `tongma_net_sum_nonzero{currency="CNY"} 0`) {
		t.Error("a part that the agent holds looks like a break")
	}
}

// TestADealerSeesWhatItExchanges: a payment in two currencies has three parties.
func TestADealerSeesWhatItExchanges(t *testing.T) {
	b := newBench(t)
	usd := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.USD} }
	b.write(clearing.Entry{Kind: clearing.KindCap, Debtor: "other", Amount: usd(100_000)})
	id := tongma.PaymentID{7}
	b.write(clearing.Entry{Kind: clearing.KindHold, Payment: id, Op: tongma.OpPay, Asker: "acq", Key: "fx1", Debtor: "wallet", Creditor: "acq", Amount: cny(7_200), Dealer: "other",
		Target: usd(1_000), Quote: "Q1", Rate: "USD/CNY 7.2 source"}, clearing.Entry{Kind: clearing.KindPost, Payment: id})
	for _, who := range []string{"operator", "wallet", "acq", "other"} {
		p := decode[PaymentList](t, b.ask(who, "GET", "/v1/payments", "")).Payments
		if len(p) != 1 || p[0].Amount != "72.00" || p[0].Dealer != "other" || p[0].Target != "10.00" || p[0].TargetIn != "USD" {
			t.Errorf("%s: %+v", who, p)
		}
		items := decode[WindowItems](t, b.ask(who, "GET", "/v1/windows/1/payments", "")).Items
		if len(items) != 1 || items[0].Dealer != "other" || items[0].Target != "10.00" {
			t.Errorf("%s: %+v", who, items)
		}
	}
	e := &clearing.Entry{Kind: clearing.KindHold, Asker: "acq", Debtor: "wallet", Creditor: "acq", Dealer: "other", Target: usd(1_000), Quote: "Q1", Rate: "USD/CNY 7.2 source", Amount: cny(7_200)}
	for who, quote := range map[tongma.ParticipantID]string{"acq": "Q1", "other": "Q1", "wallet": ""} {
		c := &call{who: who}
		if l := c.line(e, 1); !c.concerns(e) || l.Quote != quote || l.Dealer != "other" || l.Rate == "" {
			t.Errorf("%s: %+v", who, l)
		}
	}
}

// TestAWindowSaysWhichShardsItWaitsFor, as does the status, and nothing of it is settled;
// and the head closes it: another shard says where.
func TestAWindowSaysWhichShardsItWaitsFor(t *testing.T) {
	for shard := uint16(1); shard <= 2; shard++ {
		b := withSettler(t, nil)
		if res, err := b.engine.Ledger().Submit(context.Background(), clearing.Entry{Kind: clearing.KindHome, Shard: shard, Shards: 3}); err != nil || !res.Write {
			t.Fatal(res, err)
		}
		for _, query := range []string{"?dry_run=true", "?value_date=2026-11-24", ""} {
			got := b.ask("operator", "POST", "/v1/windows/1/close"+query, "")
			if shard == 2 {
				if p := b.refused(got, 409, tongma.StateConflict); !strings.Contains(p.Detail, "shard 1") {
					t.Errorf("%+v", p)
				}
			} else if query == "" {
				w := decode[Window](t, b.ask("operator", "GET", "/v1/windows/1", ""))
				if len(w.Awaited) != 2 || w.Awaited[0] != 2 || w.Awaited[1] != 3 {
					t.Errorf("waits for %v", w.Awaited)
				}
				for _, how := range []string{"", "?dry_run=true"} {
					if p := b.refused(b.ask("operator", "POST", "/v1/windows/1/settle"+how, ""), 409, tongma.StateConflict); !strings.Contains(p.Detail, "shard 2, 3") {
						t.Errorf("%+v", p)
					}
				}
			}
		}
		s := decode[Status](t, b.ask("operator", "GET", "/v1/status", ""))
		if waits := len(s.Awaiting) == 1 && s.Awaiting[0].Window == "win_000001" && fmt.Sprint(s.Awaiting[0].Shards) == "[2 3]"; s.Shard != shard || s.Shards != 3 || waits != (shard == 1) {
			t.Errorf("%+v", s)
		}
	}
}
