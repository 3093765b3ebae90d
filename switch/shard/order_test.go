package shard

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/switch/office"
)

func cny(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.CNY} }

// stands is what a participant has at home, and where that is.
func (m *market) stands(who tongma.ParticipantID) (at uint16, p clearing.Position) {
	for s := range m.engines {
		if m.engines[s] == nil {
			continue
		}
		_ = m.engines[s].Ledger().Read(m.t.Context(), func(b *clearing.Book) {
			if home, _ := b.Home(who); home != uint16(s+1) {
				return
			}
			at = uint16(s + 1)
			for _, one := range b.Positions() {
				if one.Participant == who {
					p = one
				}
			}
		})
	}
	return at, p
}

func (m *market) move(who tongma.ParticipantID, to uint16) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Second)
	defer cancel()
	if r, err := m.nodes[to-1].Move(ctx, who, to, false); err != nil || !r.Done {
		m.t.Fatalf("%+v, %v", r, err)
	}
}

// TestCapsAndPrefundingAreChangedAtAnyDoor: they are written where the participant is at
// home, once for each key, whoever is asked, and stand there alone.
func TestCapsAndPrefundingAreChangedAtAnyDoor(t *testing.T) {
	m := newMarket(t, 3)
	desks, ctx := m.desks(), t.Context()
	for i, who := range []tongma.ParticipantID{"weibank", "alibank", "unibank", "acq"} {
		key := func(what string) string { return what + string(who) }
		for n := range desks {
			d := desks[(i+n)%3]
			if n == 0 {
				dry, err := d.Deposit(ctx, office.Funds{Key: key("d-"), Participant: who, Amount: cny(500), Ref: "R1", DryRun: true})
				if err != nil || !dry.DryRun || dry.Exists {
					t.Fatalf("%s: %+v, %v", who, dry, err)
				}
			}
			done, err := d.Deposit(ctx, office.Funds{Key: key("d-"), Participant: who, Amount: cny(500), Ref: "R1"})
			if err != nil || done.Exists != (n > 0) || !strings.Contains(done.Money, "5.00 CNY") {
				t.Errorf("%s: %+v, %v", who, done, err)
			}
			if _, err := d.Deposit(ctx, office.Funds{Key: key("d-"), Participant: who, Amount: cny(501)}); tongma.ReasonOf(err) != tongma.ExistsOtherAmount {
				t.Errorf("%s: other amount: %v", who, err)
			}
			if _, err := d.Withdraw(ctx, office.Funds{Key: key("w-"), Participant: who, Amount: cny(200)}); err != nil {
				t.Errorf("%s: %v", who, err)
			}
			if _, err := d.Withdraw(ctx, office.Funds{Key: key("more-"), Participant: who, Amount: cny(900)}); tongma.ReasonOf(err) != tongma.AmountInvalid {
				t.Errorf("%s: more than is there: %v", who, err)
			}
			if done, err := d.ProposeCap(ctx, office.CapRequest{Key: key("c-"), Participant: who, Cap: cny(7_000), By: "ann"}); err != nil || done.Exists != (n > 0) {
				t.Errorf("%s: %+v, %v", who, done, err)
			}
			if _, err := d.ProposeCap(ctx, office.CapRequest{Key: key("c-"), Participant: "acq", Cap: cny(7_000), By: "ann"}); who != "acq" && tongma.ReasonOf(err) != tongma.ExistsOtherParticipant {
				t.Errorf("%s: another's key: %v", who, err)
			}
		}
		for n, d := range desks {
			list, err := d.Caps(ctx, who, false)
			if err != nil || len(list) != 1 || list[0].State != "waiting" || list[0].Maker != "ann" || list[0].ProposedAt.IsZero() {
				t.Errorf("%s at %d: %+v, %v", who, n+1, list, err)
			}
			if _, err := d.ApproveCap(ctx, office.CapCheck{Key: key("c-"), By: "Ann"}); tongma.ReasonOf(err) != tongma.MakerIsChecker {
				t.Errorf("%s at %d: %v", who, n+1, err)
			}
		}
		for n := range desks {
			if done, err := desks[(i+n)%3].ApproveCap(ctx, office.CapCheck{Key: key("c-"), By: "ben"}); err != nil || done.Exists != (n > 0) {
				t.Errorf("%s: %+v, %v", who, done, err)
			}
		}
		if at, p := m.stands(who); p.Cap != 7_000 || p.Prefunded != 300 {
			t.Errorf("%s at home in %d: %+v", who, at, p)
		}
	}
	if _, err := desks[1].ApproveCap(ctx, office.CapCheck{Key: "never", By: "ben"}); tongma.ReasonOf(err) != tongma.ProposalUnknown {
		t.Errorf("%v", err)
	}
	if _, err := desks[1].Deposit(ctx, office.Funds{Key: "x", Participant: "nobody", Amount: cny(1)}); tongma.ReasonOf(err) != tongma.ParticipantUnknown {
		t.Errorf("%v", err)
	}
	if _, err := desks[1].Deposit(ctx, office.Funds{Participant: "acq", Amount: cny(1)}); tongma.ReasonOf(err) != tongma.FieldInvalid {
		t.Errorf("%v", err)
	}
	sums := map[tongma.ParticipantID]int64{}
	for i := range m.engines {
		_ = m.engines[i].Ledger().Read(ctx, func(b *clearing.Book) {
			for _, p := range b.Positions() {
				sums[p.Participant] += p.Cap
			}
		})
	}
	for _, who := range []tongma.ParticipantID{"weibank", "alibank", "unibank", "acq"} {
		if sums[who] != 7_000 {
			t.Errorf("%s has caps of %d over all shards", who, sums[who])
		}
	}
	m.audit()
}

// TestADepositThatIsRepeatedBehindAMoveIsBookedOnce: its first try stands where the
// participant was at home, and is found there. A cap that was proposed before the move can
// only be rejected.
func TestADepositThatIsRepeatedBehindAMoveIsBookedOnce(t *testing.T) {
	m := newMarket(t, 3)
	desks, ctx := m.desks(), t.Context()
	who := tongma.ParticipantID("weibank")
	from, _ := m.stands(who)
	for i := range 12 { // keys of every owner
		if _, err := desks[i%3].Deposit(ctx, office.Funds{Key: fmt.Sprint("d", i), Participant: who, Amount: cny(100)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := desks[0].ProposeCap(ctx, office.CapRequest{Key: "c", Participant: who, Cap: cny(9_000_000), By: "ann"}); err != nil {
		t.Fatal(err)
	}
	m.move(who, from%3+1)
	for i := range 12 {
		done, err := desks[(i+1)%3].Deposit(ctx, office.Funds{Key: fmt.Sprint("d", i), Participant: who, Amount: cny(100)})
		if err != nil || !done.Exists {
			t.Errorf("d%d: %+v, %v", i, done, err)
		}
	}
	for n, d := range desks {
		if _, err := d.ApproveCap(ctx, office.CapCheck{Key: "c", By: "ben"}); tongma.ReasonOf(err) != tongma.CapChanged {
			t.Errorf("approved at %d behind the move: %v", n+1, err)
		}
	}
	if _, err := desks[2].RejectCap(ctx, office.CapCheck{Key: "c", By: "ben"}); err != nil {
		t.Error(err)
	}
	if at, p := m.stands(who); at != from%3+1 || p.Prefunded != 1_200 || p.Cap != 10_000 {
		t.Errorf("at home in %d: %+v", at, p)
	}
	m.audit()
}

// TestAnOrdersKeyThatNobodyCanUseIsUsedUp: its shard stopped behind claiming it, and the
// participant has moved since. Nothing is booked under it, ever.
func TestAnOrdersKeyThatNobodyCanUseIsUsedUp(t *testing.T) {
	m := newMarket(t, 3)
	desks, ctx := m.desks(), t.Context()
	who := tongma.ParticipantID("alibank")
	from, _ := m.stands(who)
	key := ""
	for i := 0; key == "" || clearing.OwnerOf(clearing.OfficeAsker, key, 3) == from; i++ {
		key = fmt.Sprint("k", i)
	}
	m.submit(clearing.OwnerOf(clearing.OfficeAsker, key, 3), clearing.Entry{Kind: clearing.KindClaim, Asker: clearing.OfficeAsker, Key: key, Shard: from})
	m.move(who, from%3+1)
	for n, d := range desks {
		if _, err := d.Deposit(ctx, office.Funds{Key: key, Participant: who, Amount: cny(100)}); tongma.ReasonOf(err) != tongma.KeyUsedUp || !strings.Contains(err.Error(), "nothing was written") {
			t.Errorf("at %d: %v", n+1, err)
		}
	}
	if _, p := m.stands(who); p.Prefunded != 0 {
		t.Errorf("%+v", p)
	}
	m.move(who, from) // there it is good again
	if done, err := desks[0].Deposit(ctx, office.Funds{Key: key, Participant: who, Amount: cny(100)}); err != nil || done.Exists {
		t.Errorf("%+v, %v", done, err)
	}
	m.audit()
}

// TestDepositsGoOnWhileTheirParticipantMoves: whoever is refused tries again under the same
// key, at another door. Each is booked once, and all of them are.
func TestDepositsGoOnWhileTheirParticipantMoves(t *testing.T) {
	m := newMarket(t, 3)
	desks := m.desks()
	who := tongma.ParticipantID("unibank")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wait sync.WaitGroup
	var mu sync.Mutex
	booked := int64(0)
	for g := range 4 {
		wait.Go(func() {
			for i := range 12 {
				key := fmt.Sprintf("d%d-%d", g, i)
				for try := 0; ; try++ {
					_, err := desks[(g+i+try)%3].Deposit(ctx, office.Funds{Key: key, Participant: who, Amount: cny(10)})
					if err == nil {
						mu.Lock()
						booked += 10
						mu.Unlock()
						break
					}
					reason := tongma.ReasonOf(err)
					if reason == tongma.KeyUsedUp {
						break
					}
					if reason != tongma.Overloaded || ctx.Err() != nil {
						t.Errorf("%s: %v", key, err)
						return
					}
				}
			}
		})
	}
	for range 4 {
		at, _ := m.stands(who)
		for at == 0 {
			at, _ = m.stands(who)
		}
		m.move(who, at%3+1)
	}
	wait.Wait()
	if at, p := m.stands(who); p.Prefunded != booked {
		t.Errorf("at home in %d: %d prefunded, %d were booked", at, p.Prefunded, booked)
	}
	m.audit()
}

// TestAnOrderNamesTheShardThatIsAway, and books nothing.
func TestAnOrderNamesTheShardThatIsAway(t *testing.T) {
	m := newMarket(t, 3)
	desks, ctx := m.desks(), t.Context()
	who := tongma.ParticipantID("weibank")
	at, _ := m.stands(who)
	m.stop(at)
	door := desks[at%3]
	if _, err := door.Deposit(ctx, office.Funds{Key: "k", Participant: who, Amount: cny(100)}); tongma.ReasonOf(err) != tongma.Overloaded || !strings.Contains(err.Error(), fmt.Sprint("shard ", at)) {
		t.Errorf("%v", err)
	}
	if _, err := door.Caps(ctx, "", false); tongma.ReasonOf(err) != tongma.Overloaded || !strings.Contains(err.Error(), fmt.Sprint("shard ", at)) {
		t.Errorf("%v", err)
	}
	m.start(at)
	m.desks()
	m.eventually("it is booked when the shard is there again", func() bool {
		_, err := door.Deposit(ctx, office.Funds{Key: "k", Participant: who, Amount: cny(100)})
		return err == nil
	})
	if _, p := m.stands(who); p.Prefunded != 100 {
		t.Errorf("%+v", p)
	}
	m.audit()
}
