package iso20022

import (
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// TestEveryCurrencyKeepsItsMinorUnits: of none to four digits, there and back.
func TestEveryCurrencyKeepsItsMinorUnits(t *testing.T) {
	digits := map[int]bool{}
	for _, c := range tongma.Currencies() {
		digits[c.MinorUnits()] = true
		for _, minor := range []int64{1, 10, 123_456_789, tongma.MaxMinor} {
			in := clearing.Instruction{ID: "0123456789abcdef0123456789abcdef", Window: 1, Debtor: "alpha", Participant: "alpha", Debit: true, Amount: tongma.Money{Minor: minor, Currency: c}, Sheet: [32]byte{1}}
			d := must(t)(CreditTransfers(heading("MSG-1"), []clearing.Instruction{in}))
			o, err := ReadOrder(d.XML)
			if err != nil || o.Legs[0].Amount != in.Amount {
				t.Fatalf("%v: %+v %v", in.Amount, o, err)
			}
			if minor == 1 {
				lint(t, Pacs009, d.XML)
			}
		}
	}
	for n := range 5 {
		if n != 1 && !digits[n] {
			t.Errorf("no currency of %d digits", n)
		}
	}
}
