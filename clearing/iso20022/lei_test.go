package iso20022

import (
	"bytes"
	"testing"

	"github.com/tongma/tongma"
)

// TestAnLEIStandsInTheElementThatTheSchemasHaveForIt, and not among ids of the agent's own.
func TestAnLEIStandsInTheElementThatTheSchemasHaveForIt(t *testing.T) {
	const lei = "TONGMA00MARKET000035"
	h, s := heading("MSG-1"), market()
	h.Settlement.Other, h.Settlement.Scheme = lei, "LEI"
	h.Sender, h.Parties["delta"] = h.Settlement, Party{Other: lei, Scheme: "LEI"}
	move := Liquidity{"TOPUP-1", h.Parties["beta"], h.Settlement, tongma.Money{Minor: 5, Currency: tongma.EUR}}
	m := must(t)
	for _, d := range []Document{m(CreditTransfers(h, legs(s, tongma.CNY, true))), m(CreditTransfers(h, legs(s, tongma.CNY, false))), m(DirectDebits(h, legs(s, tongma.CNY, true))),
		m(Settlement(h, s, tongma.CNY)), m(LiquidityTransfer(h, move))} {
		lint(t, d.Definition, d.XML)
		if !bytes.Contains(d.XML, []byte("<LEI>"+lei+"</LEI>")) || bytes.Contains(d.XML, []byte("<Prtry>LEI</Prtry>")) {
			t.Errorf("%s\n%s", d.Definition, d.XML)
		}
		wrapped, err := d.Envelope(d.Header(h.Sender, h.Agent))
		if err != nil {
			t.Fatal(err)
		}
		o, err := ReadOrder(wrapped)
		if err != nil || o.Header.From.Other != lei || o.Header.From.Scheme != "LEI" || o.Unknown != 0 {
			t.Fatalf("%s: %+v %v", d.Definition, o, err)
		}
		if l := o.Legs[0]; d.Definition == Pacs009 && l.Debtor.Other != lei && l.Creditor.Other != lei {
			t.Errorf("%+v", l)
		}
	}
	bad := Party{Other: "TONGMA00MARKET00003X", Scheme: "LEI"}
	if bad.lei() != "" || bad.other() == nil {
		t.Error("what has not the form of one stays an id of the agent's own")
	}
}
