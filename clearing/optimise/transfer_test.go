package optimise

import (
	"fmt"
	"math"
	"reflect"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"pgregory.net/rapid"
)

func figures(c tongma.Currency, nets ...int64) (out []clearing.NetFigure) {
	for i, n := range nets {
		out = append(out, clearing.NetFigure{Participant: tongma.ParticipantID(rune('a' + i)), Currency: c, Net: n})
	}
	return out
}

func TestTheLargestDebtorPaysTheLargestCreditor(t *testing.T) {
	got, err := FewestTransfers(append(figures(tongma.THB, 7, -7), figures(tongma.CNY, 50, -30, 20, -40, 0)...))
	want := "[{a d 0.40 CNY} {c b 0.20 CNY} {a b 0.10 CNY} {a b 0.07 THB}]"
	if fmt.Sprint(got) != want || err != nil {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
	// Equal figures go by name.
	got, err = FewestTransfers(figures(tongma.CNY, -5, 5, -5, 5))
	if fmt.Sprint(got) != "[{b a 0.05 CNY} {d c 0.05 CNY}]" || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestFiguresThatAreNotASheetAreRefused(t *testing.T) {
	for _, nets := range [][]clearing.NetFigure{
		figures(tongma.CNY, 5),
		figures(tongma.CNY, 5, -4),
		append(figures(tongma.CNY, 5), figures(tongma.THB, -5)...),
		append(figures(tongma.CNY, 5, -5), figures(tongma.CNY, 5, -5)...),
		figures(tongma.CNY, math.MinInt64),
		figures(tongma.CNY, math.MaxInt64, math.MaxInt64, -math.MaxInt64, -math.MaxInt64),
	} {
		if got, err := FewestTransfers(nets); tongma.ReasonOf(err) != tongma.SheetMismatch || got != nil {
			t.Errorf("%v: got %v, %v", nets, got, err)
		}
	}
	if got, err := FewestTransfers(figures(tongma.CNY, 0, 0)); got != nil || err != nil {
		t.Errorf("a zero sheet needs nothing: got %v, %v", got, err)
	}
}

func TestTransfersMeetEveryFigureAndAreFewerThanParticipants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nets []clearing.NetFigure
		most := 0
		for _, c := range []tongma.Currency{tongma.CNY, tongma.JPY} {
			minor, total := rapid.SliceOfN(rapid.Int64Range(-50, 50), 0, 20).Draw(t, "nets"), int64(0)
			for _, m := range minor {
				total += m
			}
			nets = append(nets, figures(c, append(minor, -total)...)...)
			live := 0
			for _, m := range append(minor, -total) {
				if m != 0 {
					live++
				}
			}
			most += max(0, live-1)
		}
		transfers, err := FewestTransfers(nets)
		if err != nil || len(transfers) > most {
			t.Fatalf("%d transfers, at most %d are needed: %v", len(transfers), most, err)
		}
		left := map[clearing.NetFigure]int64{}
		for _, n := range nets {
			left[clearing.NetFigure{Participant: n.Participant, Currency: n.Currency}] = n.Net
		}
		for _, tr := range transfers {
			if tr.Amount.Minor <= 0 || tr.Debtor == tr.Creditor {
				t.Fatalf("%v is no transfer", tr)
			}
			left[clearing.NetFigure{Participant: tr.Debtor, Currency: tr.Amount.Currency}] -= tr.Amount.Minor
			left[clearing.NetFigure{Participant: tr.Creditor, Currency: tr.Amount.Currency}] += tr.Amount.Minor
		}
		for who, m := range left {
			if m != 0 {
				t.Fatalf("%v is left with %d", who, m)
			}
		}
	})
}

func owes(c tongma.Currency, text ...any) (out []clearing.Obligation) {
	for i := 0; i < len(text); i += 3 {
		out = append(out, clearing.Obligation{Debtor: tongma.ParticipantID(text[i].(string)), Creditor: tongma.ParticipantID(text[i+1].(string)),
			Currency: c, Gross: int64(text[i+2].(int)), Count: 1})
	}
	return out
}

func TestCompressionIsWhatNettingSaves(t *testing.T) {
	for _, row := range []struct {
		matrix             []clearing.Obligation
		want               Compression
		saved, bilaterally int
	}{
		{owes(tongma.CNY, "a", "b", 100), Compression{tongma.CNY, 100, 100, 100, 1, 2}, 0, 0},
		{owes(tongma.CNY, "a", "b", 100, "b", "a", 100), Compression{tongma.CNY, 200, 0, 0, 0, 0}, 1_000_000, 1_000_000},
		{owes(tongma.CNY, "a", "b", 100, "b", "c", 100, "c", "a", 100), Compression{tongma.CNY, 300, 300, 0, 3, 0}, 1_000_000, 0},
		{owes(tongma.CNY, "a", "b", 100, "b", "a", 40, "b", "c", 70), Compression{tongma.CNY, 210, 130, 70, 2, 3}, 666_666, 380_952},
		{owes(tongma.CNY, "a", "b", 0), Compression{Currency: tongma.CNY}, 0, 0},
		{owes(tongma.CNY, "a", "b", math.MaxInt64-1, "b", "a", 1), Compression{tongma.CNY, math.MaxInt64, math.MaxInt64 - 2, math.MaxInt64 - 2, 1, 2}, 0, 0},
	} {
		got, err := Measure(row.matrix)
		if err != nil || len(got) != 1 || got[0] != row.want || got[0].MillionthsSaved() != row.saved || got[0].MillionthsSavedBilaterally() != row.bilaterally {
			t.Errorf("%v: got %+v, %v", row.matrix, got, err)
		}
	}
	got, err := Measure(append(owes(tongma.THB, "a", "b", 1), owes(tongma.CNY, "a", "b", 1)...))
	if err != nil || len(got) != 2 || got[0].Currency != tongma.CNY {
		t.Errorf("currencies are not apart, or out of order: %v, %v", got, err)
	}
	for reason, matrix := range map[tongma.Reason][]clearing.Obligation{
		tongma.PositionOverflow: owes(tongma.CNY, "a", "b", math.MaxInt64, "b", "a", 1),
		tongma.CurrencyUnknown:  owes(0, "a", "b", 1),
		tongma.FieldInvalid:     owes(tongma.CNY, "a", "a", 1),
	} {
		if _, err := Measure(matrix); tongma.ReasonOf(err) != reason {
			t.Errorf("%v: got %v", matrix, err)
		}
		if _, err := BilateralNet(matrix); tongma.ReasonOf(err) != reason {
			t.Errorf("%v: got %v", matrix, err)
		}
	}
}

func TestTheBilateralNetHasTheSameFiguresAsTheMatrix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queues(40, 1000).Draw(t, "queue")
		places := make([]int, len(q.Items))
		for i := range places {
			places[i] = i
		}
		matrix, err := Matrix(q, places)
		if err != nil {
			t.Fatal(err)
		}
		pairs, err := BilateralNet(matrix)
		if err != nil {
			t.Fatal(err)
		}
		var netted []clearing.Obligation
		for _, p := range pairs {
			netted = append(netted, clearing.Obligation{Debtor: p.Debtor, Creditor: p.Creditor, Currency: q.Currency, Gross: p.Amount.Minor})
		}
		figure := func(m []clearing.Obligation) map[tongma.ParticipantID]int64 {
			out := map[tongma.ParticipantID]int64{}
			nets, _ := clearing.Net(m)
			for _, n := range nets {
				if n.Net != 0 {
					out[n.Participant] = n.Net
				}
			}
			return out
		}
		if !reflect.DeepEqual(figure(matrix), figure(netted)) {
			t.Fatalf("%v and %v", matrix, netted)
		}
		measured, err := Measure(matrix)
		if err != nil || len(measured) > 1 {
			t.Fatal(measured, err)
		}
		for _, c := range measured {
			if c.Multilateral > c.Bilateral || c.Bilateral > c.Gross || c.Pairs != len(pairs) || c.Figures != len(figure(matrix)) {
				t.Fatalf("%+v", c)
			}
		}
	})
}

// TestCompressionSimulation prints what netting leaves to move of 100,000
// payments (go test -v).
func TestCompressionSimulation(t *testing.T) {
	for _, n := range []int{4, 8, 20, 50} {
		q := traffic(1, n, 100_000)
		places := make([]int, len(q.Items))
		for i := range places {
			places[i] = i
		}
		matrix, _ := Matrix(q, places)
		c, err := Measure(matrix)
		if err != nil {
			t.Fatal(err)
		}
		nets, _ := clearing.Net(matrix)
		transfers, err := FewestTransfers(nets)
		if err != nil || len(transfers) != n-1 {
			t.Errorf("%d transfers for %d participants: %v", len(transfers), n, err)
		}
		t.Logf("%2d participants: to move %.2f%% of gross multilaterally (%d instructions), %.2f%% bilaterally (%d), %d transfers without an agent",
			n, 100-float64(c[0].MillionthsSaved())/1e4, c[0].Figures, 100-float64(c[0].MillionthsSavedBilaterally())/1e4, c[0].Pairs, len(transfers))
	}
}
