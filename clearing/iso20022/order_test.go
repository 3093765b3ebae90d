package iso20022

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// TestWhatIsSentIsReadBackAsMeant reads every order that we write: ids, parties,
// accounts and amounts are those of the instructions.
func TestWhatIsSentIsReadBackAsMeant(t *testing.T) {
	s, h := market(), heading("MSG-1")
	for _, c := range []struct {
		doc func(Heading, []clearing.Instruction) (Document, error)
		ins []clearing.Instruction
	}{
		{CreditTransfers, legs(s, tongma.CNY, true)}, {CreditTransfers, legs(s, tongma.CNY, false)}, {DirectDebits, legs(s, tongma.CNY, true)},
	} {
		d := must(t)(c.doc(h, c.ins))
		head := d.Header(h.Settlement, h.Agent)
		wrapped, err := d.Envelope(head)
		if err != nil {
			t.Fatal(err)
		}
		o, err := ReadOrder(wrapped)
		if err != nil {
			t.Fatal(err)
		}
		if o.ID != d.ID || o.Definition != d.Definition || o.Date != h.Date || !o.Created.Equal(at) || o.Header.ID != d.ID || o.Unknown != 0 || len(o.Legs) != len(c.ins) {
			t.Fatalf("%+v", o)
		}
		for i, l := range o.Legs {
			in, debtor, creditor := c.ins[i], h.Settlement, h.Settlement
			if in.Debit {
				debtor = h.Parties[in.Participant]
			} else {
				creditor = h.Parties[in.Participant]
			}
			if d.Definition == Pacs010 && l.Mandate() != debtor.Mandate {
				t.Errorf("mandate %q", l.Mandate())
			}
			debtor.Mandate, creditor.Mandate = "", ""
			if l.ID != in.ID || l.UETR != UETR(in.ID) || l.Amount != in.Amount || l.Debtor != debtor || l.Creditor != creditor {
				t.Errorf("%+v of %+v", l, in)
			}
		}
	}
	whole, err := ReadOrder(must(t)(Settlement(h, s, tongma.CNY)).XML)
	if err != nil || whole.Cycle != "win-000012" || len(whole.Legs) != 4 || whole.Legs[0].Debtor.BIC != "ALPHCNBJ" || !whole.Legs[0].Creditor.IsZero() {
		t.Errorf("%+v %v", whole, err)
	}
	move := Liquidity{"TOPUP-1", h.Parties["alpha"], h.Settlement, tongma.Money{Minor: 5, Currency: tongma.EUR}}
	paid, err := ReadOrder(must(t)(LiquidityTransfer(h, move)).XML)
	if err != nil || paid.Legs[0].ID != "TOPUP-1" || paid.Legs[0].Amount != move.Amount || paid.Legs[0].Debtor.Account != move.From.Account {
		t.Errorf("%+v %v", paid, err)
	}
}

func TestAnOrderThatContradictsItselfIsRefused(t *testing.T) {
	h, s := heading("MSG-1"), market()
	transfers := string(mustCreditTransfers(t).XML)
	debits := string(must(t)(DirectDebits(h, legs(s, tongma.CNY, true))).XML)
	sheet := string(must(t)(Settlement(h, s, tongma.CNY)).XML)
	first, second := legs(s, tongma.CNY, true)[0].ID, legs(s, tongma.CNY, true)[1].ID
	for name, c := range map[string]struct {
		xml, old, put string
		fault         Fault
	}{
		"a count":                           {transfers, "<NbOfTxs>2", "<NbOfTxs>3", FaultCount},
		"a total":                           {transfers, "125001.49", "125001.50", FaultCount},
		"a total of debits":                 {debits, "125001.49", "125001.50", FaultCount},
		"an amount":                         {transfers, ">0.99<", ">1.00<", FaultCount},
		"nothing to pay":                    {transfers, ">0.99<", ">0.00<", FaultAmount},
		"another currency":                  {transfers, `Ccy="CNY">0.99<`, `Ccy="USD">0.99<`, FaultCount},
		"an id twice":                       {transfers, second, first, FaultDuplicate},
		"a sheet that does not sum to zero": {sheet, ">0.99<", ">0.98<", FaultNotZero},
		"a count of movements":              {sheet, "<NbOfMvmntRcrds>4", "<NbOfMvmntRcrds>5", FaultCount},
		"an account without an id":          {debits, "<Id>SETTLEMENT-1</Id>", "", FaultMissing},
		"a statement":                       {sample, "", "", FaultNamespace},
	} {
		if !strings.Contains(c.xml, c.old) {
			t.Fatalf("%s: nothing to change", name)
		}
		if o, err := ReadOrder([]byte(strings.Replace(c.xml, c.old, c.put, 1))); o != nil || !errors.Is(err, c.fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReceiptsAreReadBack(t *testing.T) {
	d, err := Receipt("RCT-1", at, Status{Original: "MSG-5", Code: "RJCT", Reason: "AM04 no cover"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Read(d.XML)
	if err != nil || m.ID != "RCT-1" || !m.Statuses[0].Whole || m.Statuses[0].Outcome != tongma.Declined || m.Statuses[0].Original != "MSG-5" {
		t.Errorf("%+v %v", m, err)
	}
	if _, err := Receipt("", time.Time{}, Status{}); err == nil {
		t.Error("a receipt without an id")
	}
}

// FuzzOrder requires of what is read that it obeys the rules of orders.
func FuzzOrder(f *testing.F) {
	for _, name := range []string{"transfers-in", "transfers-out", "debits", "sheet", "liquidity", "envelope"} {
		f.Add(file(f, "golden/"+name+".xml"), uint16(700), []byte("x"))
	}
	f.Fuzz(func(t *testing.T, data []byte, from uint16, put []byte) {
		cut := min(int(from), len(data))
		edited := append(bytes.Clone(data[:cut]), put...)
		if cut+len(put) < len(data) {
			edited = append(edited, data[cut+len(put):]...)
		}
		for _, d := range [][]byte{data, edited} {
			o, err := ReadOrder(d)
			if (err == nil) != (o != nil) || (err != nil && ReadFault(err) == "") {
				t.Fatalf("%v", err)
			}
			for i := range legsOf(o) {
				if l := &o.Legs[i]; l.ID == "" || l.Amount.Minor <= 0 || (l.Debtor.IsZero() && l.Creditor.IsZero()) {
					t.Fatalf("%+v", l)
				}
			}
		}
	})
}

func legsOf(o *Order) []OrderLeg {
	if o == nil {
		return nil
	}
	return o.Legs
}
