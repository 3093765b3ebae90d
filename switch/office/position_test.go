package office

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

func TestAPositionIsExplainedByItsEntries(t *testing.T) {
	m, ctx := newMarket(t, ""), t.Context()
	m.pay(1250, "L1")
	m.settle(m.close())
	m.pay(8000, "L2")
	held := m.id()
	m.write(clearing.Entry{Kind: clearing.KindHold, Payment: held, Op: tongma.OpPay, Asker: "harbour", Key: "h", Debtor: "lotus", Creditor: "harbour", Scheme: "lotus", Amount: thb(300)})
	if _, err := m.Deposit(ctx, Funds{Key: "d", Participant: "lotus", Amount: thb(1000)}); err != nil {
		t.Fatal(err)
	}
	v, err := m.ExplainPosition(ctx, "lotus", tongma.THB, 0)
	if err != nil || v.Position != thb(8000) || v.Reserved != thb(300) || v.Available != thb(500_000+1000-8300) || len(v.Rows) != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	if r := v.Rows[0]; r.What != "post" || r.Position != thb(8000) || r.Other != "harbour" || r.Window != 2 || r.Sum != thb(8000) {
		t.Fatalf("%+v", r)
	}
	if r := v.Rows[1]; r.What != "hold" || r.Payment != held || r.Reserved != thb(300) || r.Position != thb(0) {
		t.Fatalf("%+v", r)
	}
	table := v.Table()
	if len(table) != 4 || table[3][1] != "total" || table[3][6] != "80.00" || table[3][7] != "3.00" {
		t.Fatal(table)
	}
	_, err = m.ExplainPosition(ctx, "nobody", tongma.THB, 0)
	wants(t, err, tongma.ParticipantUnknown)
	_, err = m.ExplainPosition(ctx, "harbour", tongma.USD, 0)
	wants(t, err, tongma.NoAccount)
}

// TestRowsAlwaysAddUp goes through payments, refusals, reversals, windows and
// settlements at random, with every limit.
func TestRowsAlwaysAddUp(t *testing.T) {
	m, ctx := newMarket(t, ""), t.Context()
	rng := rand.New(rand.NewPCG(7, 11))
	for range 300 {
		switch rng.IntN(8) {
		case 0:
			m.settle(m.close())
		case 1:
			m.close()
		case 2:
			id := m.pay(1+rng.Int64N(500), "")
			m.write(clearing.Entry{Kind: clearing.KindReversing, Payment: id, Reason: tongma.ReversedByAcquirer})
			m.write(clearing.Entry{Kind: clearing.KindReversed, Payment: id})
		case 3:
			m.write(clearing.Entry{Kind: clearing.KindHold, Payment: m.id(), Op: tongma.OpPay, Asker: "harbour", Key: m.id().String(), Debtor: "lotus", Creditor: "harbour", Scheme: "lotus", Amount: thb(1 + rng.Int64N(50))})
		default:
			m.pay(1+rng.Int64N(500), "")
		}
		for _, p := range []tongma.ParticipantID{"lotus", "harbour"} {
			v, err := m.ExplainPosition(ctx, p, tongma.THB, rng.IntN(4)) // it checks the sums itself
			if err != nil || v.Position.Minor != m.position(p, tongma.THB).Position {
				t.Fatalf("%+v, %v", v, err)
			}
		}
	}
}

// TestASubParticipantsPositionIsItsMemo: it adds up like any other. Of its sponsor it
// learns whether debits are taken, and nothing about how many.
func TestASubParticipantsPositionIsItsMemo(t *testing.T) {
	m, ctx := newMarket(t, ""), t.Context()
	m.write(clearing.Entry{Kind: clearing.KindCap, Debtor: "sub", Amount: thb(400_000)})
	m.write(clearing.Entry{Kind: clearing.KindSponsor, Debtor: "sub", Creditor: "lotus"})
	m.Office = m.open("", directory(t, strings.Replace(marketYAML, "schemes:", `  - id: sub
    name: Sub
    country: TH
    roles: [issuer]
    sponsor: lotus
    caps: {THB: "4000.00"}
    accepts: all
    key: creds
schemes:`, 1)))
	id := m.id()
	m.write(clearing.Entry{Kind: clearing.KindHold, Payment: id, Op: tongma.OpPay, Asker: "harbour", Key: "s", Debtor: "sub", Creditor: "harbour", Scheme: "lotus", Amount: thb(1000)})
	m.write(clearing.Entry{Kind: clearing.KindPost, Payment: id})
	m.pay(350_000, "L1")
	v, err := m.ExplainPosition(ctx, "sub", tongma.THB, 0)
	if err != nil || v.Sponsor != "lotus" || v.Position != thb(1000) || v.Available != thb(399_000) || v.Through != "yes" || len(v.Rows) != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	m.pay(149_000, "L2") // its sponsor has no room any more
	if v, err := m.ExplainPosition(ctx, "sub", tongma.THB, 0); err != nil || v.Available != thb(0) || v.Through != "no" {
		t.Fatalf("%+v, %v", v, err)
	}
	if v, err = m.ExplainPosition(ctx, "lotus", tongma.THB, 0); err != nil || v.Position != thb(500_000) || len(v.Rows) != 3 {
		t.Fatalf("%+v, %v", v, err)
	}
}
