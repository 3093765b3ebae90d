package settle

import (
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes/calendar"
)

// TestWhatOtherShardsGaveIsNotDeferred: what was gathered stays, whatever is short. Where
// nothing of the head's own could make up for it, nothing is deferred at all: it would be
// put off for nothing, since credits wait for the last debit.
func TestWhatOtherShardsGaveIsNotDeferred(t *testing.T) {
	item := func(kind clearing.Kind, n byte, from, to tongma.ParticipantID, minor int64) clearing.WindowItem {
		return clearing.WindowItem{Kind: kind, Payment: tongma.PaymentID{n}, Debtor: from, Creditor: to, Payer: from, Payee: to, Amount: cny(minor)}
	}
	sheet := clearing.Sheet{Method: calendar.Multilateral, Legs: []clearing.SheetLeg{
		{Debtor: "a", Currency: tongma.CNY, Net: 800, Due: 800, Short: true}, {Creditor: "c", Currency: tongma.CNY, Net: 800, Due: 800}}}
	own := []clearing.WindowItem{item(clearing.KindPost, 1, "a", "c", 300)}
	for _, c := range []struct {
		gathered, settled int64
		left              int
	}{
		{500, 0, 0},   // a cannot even pay what the other shards have of it
		{500, 499, 0}, // nor here
		{500, 500, 1}, // its own payment rolls over
		{500, 700, 1},
		{500, 800, 0},
	} {
		sheet.Legs[0].Settled, sheet.Legs[0].Due = c.settled, 800-c.settled
		left, err := LeftOut(sheet, tongma.CNY, append([]clearing.WindowItem{item(clearing.KindGather, 0, "a", "c", c.gathered)}, own...))
		if err != nil || len(left) != c.left {
			t.Errorf("%+v: %v %v", c, left, err)
		}
	}
}
