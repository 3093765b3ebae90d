package recon

import (
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/dispute"
)

// TestAnItemIsWhatWasPostedNotWhatWasHeld: captured in part, expired, with fees,
// moved to another window, charged back.
func TestAnItemIsWhatWasPostedNotWhatWasHeld(t *testing.T) {
	j := NewJournal()
	n := uint64(0)
	add := func(e clearing.Entry) {
		t.Helper()
		n++
		e.Number = n
		if err := j.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	add(clearing.Entry{Kind: clearing.KindOpen, Window: 1})
	add(clearing.Entry{Kind: clearing.KindHold, Payment: pid(1), Op: tongma.OpPay, Debtor: "lotus", Creditor: "harbour", Amount: cny(1250)})
	add(clearing.Entry{Kind: clearing.KindHold, Payment: pid(2), Op: tongma.OpPay, Debtor: "lotus", Creditor: "harbour", Amount: cny(800)})
	add(clearing.Entry{Kind: clearing.KindPost, Payment: pid(1), Amount: cny(1000), Window: 1, Legs: []clearing.Leg{
		{From: "harbour", To: "lotus", Amount: cny(7)}, {From: "harbour", To: "switch", Amount: cny(3)}}})
	add(clearing.Entry{Kind: clearing.KindExpire, Payment: pid(2)})
	add(clearing.Entry{Kind: clearing.KindClose, Window: 1})
	add(clearing.Entry{Kind: clearing.KindDefer, Payment: pid(1), Window: 1, AuthWindow: 2})
	add(clearing.Entry{Kind: clearing.KindDispute, Payment: pid(3), Original: pid(1), Amount: cny(400), Debtor: "lotus", Creditor: "harbour"})
	add(clearing.Entry{Kind: clearing.KindDisputeStep, Payment: pid(3), Original: pid(1), Amount: cny(400), Debtor: "lotus", Creditor: "harbour", Stage: dispute.Represented})
	add(clearing.Entry{Kind: clearing.KindDisputeStep, Payment: pid(3), Original: pid(1), Amount: cny(400), Debtor: "lotus", Creditor: "harbour", Stage: dispute.Upheld, Window: 4})
	if back := j.Items()[2]; len(j.Items()) != 3 || back.Op != tongma.OpRefund || back.Debtor != "harbour" || back.Creditor != "lotus" || back.Amount != cny(400) || back.Posted != 4 || back.Status != tongma.Paid {
		t.Fatalf("%+v", j.Items())
	}
	one, two := &j.Items()[0], &j.Items()[1]
	if one.Amount != cny(1000) || one.Posted != 2 || two.Status != tongma.Refused || two.Posted != 0 || j.LastWindow() != 2 {
		t.Fatalf("%+v, %+v, %v", one, two, j.LastWindow())
	}
	if fee, ok := Charged("harbour", one); fee != cny(10) || !ok {
		t.Error(fee, ok)
	}
	if fee, ok := Charged("lotus", one); ok {
		t.Error("a file cannot tell a fee that is received", fee)
	}
	if fee, ok := Charged("orchid", two); fee != cny(0) || !ok {
		t.Error(fee, ok)
	}
}

// TestAPaymentInTwoCurrenciesIsComparedSideBySide: the debtor's file has one side,
// the creditor's the other, the dealer's both.
func TestAPaymentInTwoCurrenciesIsComparedSideBySide(t *testing.T) {
	source, target := paid(1, 1250, 12), paid(1, 0, 12)
	source.Creditor, target.Debtor, target.Part, target.Amount = "dealer", "dealer", 1, tongma.Money{Minor: 5240, Currency: tongma.THB}
	items := []Item{paid(2, 7, 12), source, target, paid(3, 8, 12)}
	items[0].Debtor, items[3].Debtor = "x", "y"
	items[0].Creditor, items[3].Creditor = "x", "y"
	row := func(line int32, p tongma.ParticipantID, amount tongma.Money, ref string) Row {
		r := Row{Line: line, Kind: RowPay, Status: tongma.Paid, Participant: p, Window: 12, Amount: amount, SchemeRef: ref}
		if ref == "" {
			r.Payment = pid(1)
		}
		return r
	}
	file := func(p tongma.ParticipantID, rows ...Row) File {
		return File{Sender: p, Hash: hash(string(p)), Rows: rows}
	}
	for _, ref := range []string{"", "S0001"} {
		in := Input{Window: 12, AsOf: noon, Items: items, Files: []File{
			file("lotus", row(2, "lotus", source.Amount, ref)),
			file("harbour", row(2, "harbour", target.Amount, ref)),
			file("dealer", row(2, "dealer", target.Amount, ref), row(3, "dealer", source.Amount, ref)),
		}}
		if res := run1(t, in); len(res.Breaks) != 0 {
			t.Fatalf("%q: %+v", ref, res.Breaks)
		}
		in.Files[2].Rows = in.Files[2].Rows[:1]
		in.Files[1].Rows[0].Amount.Minor++
		res := run1(t, in)
		if len(res.Breaks) != 2 || res.Breaks[0].Kind != MissingAtScheme || res.Breaks[0].AtRisk != source.Amount || res.Breaks[1].Kind != Amount || res.Breaks[1].Participant != "harbour" {
			t.Fatalf("%q: %+v", ref, res.Breaks)
		}
	}
	stray := target
	stray.Payment = pid(9)
	for _, bad := range [][]Item{{source, source}, {stray}, {target, source}, {source, target, target}} {
		if _, err := Reconcile(Input{Window: 12, AsOf: noon, Items: bad}); tongma.ReasonOf(err) != tongma.FieldInvalid {
			t.Errorf("%v", err)
		}
	}
}

// TestTheJournalGivesBothSidesOfAPaymentInTwoCurrencies: the payment, what is refunded
// of it and what is charged back are each two movements, and files that report them so
// have no break.
func TestTheJournalGivesBothSidesOfAPaymentInTwoCurrencies(t *testing.T) {
	hkd := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.HKD} }
	thb := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.THB} }
	fee := clearing.Leg{Kind: 1, From: "wallet", To: "net", Amount: hkd(3)}
	j := NewJournal()
	for i, e := range []clearing.Entry{
		{Kind: clearing.KindHold, Payment: pid(1), Op: tongma.OpPay, Debtor: "wallet", Creditor: "shop", Amount: hkd(2389), Dealer: "fx", Target: thb(10000)},
		{Kind: clearing.KindPost, Payment: pid(1), Debtor: "wallet", Creditor: "shop", Amount: hkd(2389), Dealer: "fx", Target: thb(10000), Window: 1, SchemeRef: "S1", Legs: []clearing.Leg{fee}},
		{Kind: clearing.KindHold, Payment: pid(2), Op: tongma.OpRefund, Debtor: "shop", Creditor: "wallet", Amount: thb(3333), Dealer: "fx", Target: hkd(796)},
		{Kind: clearing.KindPost, Payment: pid(2), Debtor: "shop", Creditor: "wallet", Amount: thb(3333), Dealer: "fx", Target: hkd(796), Window: 1},
		{Kind: clearing.KindDisputeStep, Payment: pid(3), Original: pid(1), Debtor: "wallet", Creditor: "shop", Amount: thb(100), Dealer: "fx", Target: hkd(23), Window: 1},
		{Kind: clearing.KindDefer, Payment: pid(1), Window: 1, AuthWindow: 2},
	} {
		e.Number = uint64(i + 1)
		if err := j.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	type side struct {
		from, to tongma.ParticipantID
		amount   tongma.Money
		window   tongma.WindowID
	}
	want := []side{{"wallet", "fx", hkd(2389), 2}, {"fx", "shop", thb(10000), 2}, {"shop", "fx", thb(3333), 1}, {"fx", "wallet", hkd(796), 1}, {"shop", "fx", thb(100), 1}, {"fx", "wallet", hkd(23), 1}}
	for i, it := range j.Items() {
		if got := (side{it.Debtor, it.Creditor, it.Amount, it.Posted}); i >= len(want) || got != want[i] || int(it.Part) != i%2 || it.Status != tongma.Paid {
			t.Errorf("item %d: %+v", i, it)
		}
	}
	if len(j.Items()) != len(want) {
		t.Fatalf("%d items", len(j.Items()))
	}
	if got, ok := Charged("wallet", &j.Items()[0]); got != hkd(3) || !ok {
		t.Error(got, ok)
	}
	if got, ok := Charged("shop", &j.Items()[1]); got != thb(0) || !ok {
		t.Error(got, ok)
	}
	row := func(line int32, p tongma.ParticipantID, m tongma.Money) Row {
		return Row{Line: line, Kind: RowPay, Status: tongma.Paid, Participant: p, Window: 2, Amount: m, Payment: pid(1)}
	}
	res := run1(t, Input{Window: 2, AsOf: noon, Items: j.Items(), Files: []File{
		{Sender: "wallet", Hash: hash("wallet"), Rows: []Row{row(2, "wallet", hkd(2389))}},
		{Sender: "shop", Hash: hash("shop"), Rows: []Row{row(2, "shop", thb(10000))}},
		{Sender: "fx", Hash: hash("fx"), Rows: []Row{row(2, "fx", hkd(2389)), row(3, "fx", thb(10000))}},
	}})
	if len(res.Breaks) != 0 {
		t.Errorf("%+v", res.Breaks)
	}
}

// TestADebtThatRollsOverIsNoPayment: what is owed for a cover has no id, and does not
// keep the journal from being read.
func TestADebtThatRollsOverIsNoPayment(t *testing.T) {
	j := NewJournal()
	if err := j.Add(&clearing.Entry{Number: 1, Kind: clearing.KindDefer, Debtor: "wallet", Creditor: "fund", Amount: cny(5), SchemeRef: "I1", Window: 1, AuthWindow: 2}); err != nil {
		t.Error(err)
	}
	if err := j.Add(&clearing.Entry{Number: 2, Kind: clearing.KindDefer, Payment: pid(1), Window: 1, AuthWindow: 2}); err == nil {
		t.Error("a payment that never began was taken in")
	}
}
