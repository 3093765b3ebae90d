package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

// End is how a payment ended.
type End uint8

// The ends of payments.
const (
	EndApproved End = iota
	EndDeclined
	EndRefused
	EndReversed
	EndUnpaid // posted, and turned back
	EndBurnt  // reversed before it came
	EndRefunded
	EndRefundDeclined
	EndRefundRefused
	EndOpen // in histories that end early
	endCount
)

var endNames = [endCount]string{"approved", "declined by the scheme", "refused by the switch", "reversed unpaid", "reversed when paid", "burnt by an early reversal",
	"refund paid", "refund declined", "refund refused", "open"}

// String returns the name that reports use.
func (e End) String() string { return endNames[e] }

// Ends returns all ends, in the order of reports.
func Ends() []End {
	all := make([]End, endCount)
	for i := range all {
		all[i] = End(i)
	}
	return all
}

func (o *oracle) ends() (n [endCount]int) {
	for _, p := range o.order {
		n[p.end()]++
	}
	return n
}

func (p *record) end() End {
	refund := p.first.Op == tongma.OpRefund
	switch p.phase {
	case clearing.KindPost:
		if refund {
			return EndRefunded
		}
		return EndApproved
	case clearing.KindVoid:
		if refund {
			return EndRefundDeclined
		}
		return EndDeclined
	case clearing.KindRefuse:
		if refund {
			return EndRefundRefused
		}
		return EndRefused
	case clearing.KindReversed:
		if p.posted {
			return EndUnpaid
		}
		return EndReversed
	case clearing.KindTombstone:
		return EndBurnt
	}
	return EndOpen
}

// build makes the world of a plan, and plans what will happen in it.
func (h *history) build() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.oracle, h.disk, h.operator = newOracle(h), &disk{h: h}, &operator{settling: map[tongma.WindowID]bool{}}
	h.markets = []market{h.market}
	if ids := h.market.modelIDs(); h.plan.byHand {
		h.handModel = ids[len(ids)-1]
	}
	first, err := h.market.directory(1)
	if err == nil {
		h.codes, err = shopCodes()
	}
	if err != nil {
		h.fail("directory", "%v", err)
		return
	}
	h.registry = schemes.NewMemoryRegistry(first)
	for _, who := range everybody[:5] {
		if h.market.has(who) {
			h.shops = append(h.shops, &shop{who, &link{name: string(who), fault: PartitionAcquirer}})
		}
	}
	schemes, runs := h.market.schemeIDs()
	for i, scheme := range schemes {
		h.wallets = append(h.wallets, &wallet{h: h, scheme: scheme, who: runs[i], link: &link{name: string(scheme), fault: PartitionScheme}, lines: map[tongma.PaymentID]*line{}})
	}
	h.dealerLink = &link{name: "desk", fault: PartitionScheme}
	h.agent = &agent{h: h, link: &link{name: "agent", fault: PartitionAgent, slowest: 5 * time.Minute}, orders: map[string]*payOrder{}}
	h.boot(0)
	h.scheduleTills()
	h.scheduleFaults()
	h.after(h.plan.span+between(h.rand, time.Second, 30*time.Second), h.heal)
}

func (h *history) scheduleTills() {
	at := time.Duration(0)
	for range h.plan.payments {
		if !chance(h.rand, h.plan.bursts) {
			at = between(h.rand, 0, h.plan.span)
		}
		at += between(h.rand, 1, 20*time.Millisecond)
		t := h.openTill()
		h.after(at, t.begin)
	}
}

// scheduleFaults plans everything that happens at a time rather than to a message.
func (h *history) scheduleFaults() {
	p := &h.plan
	times := func(n int, do func()) {
		for range n {
			h.after(between(h.rand, 0, p.span), func() {
				if !h.healed {
					do()
				}
			})
		}
	}
	times(p.partitions, h.partition)
	times(p.schemesDown, func() {
		w := h.wallets[h.rand.IntN(len(h.wallets))]
		if h.rand.IntN(2) == 0 {
			h.spell(time.Second, time.Minute, string(w.scheme)+" does not answer", func() { w.down++ }, func() { w.down-- })
		} else {
			h.spell(time.Second, time.Minute, string(w.scheme)+" has no adapter", func() { w.gone++ }, func() { w.gone-- })
		}
	})
	times(p.walletCrashes, func() {
		w := h.wallets[h.rand.IntN(len(h.wallets))]
		h.count(WalletCrash)
		w.boots++
		h.spell(100*time.Millisecond, 20*time.Second, string(w.scheme)+" crashes", func() { w.down++ }, func() { w.down-- })
	})
	times(p.crashes, func() {
		if s := h.living(); s != nil {
			s.fuse = 1 + h.rand.IntN(20)
		}
	})
	times(p.stops, func() {
		if s := h.serving(); s != nil {
			h.stop(s)
		}
	})
	times(p.twos, h.two)
	times(p.jumps, h.jump)
	times(p.slowDisk, func() {
		h.spell(time.Second, 20*time.Second, "the disk is slow", func() { h.disk.slow++ }, func() { h.disk.slow-- })
	})
	times(p.fullDisk, func() {
		h.spell(time.Second, 40*time.Second, "the disk is full", func() { h.disk.full++ }, func() { h.disk.full-- })
	})
	times(p.noDisk, func() {
		h.spell(time.Second, 40*time.Second, "the disk is away", func() { h.disk.away++ }, func() { h.disk.away-- })
	})
	times(p.closes, func() { h.closeWindow(h.anyModel()) })
	times(4, h.peek)
	times(h.rand.IntN(3), h.fund)
	times(h.rand.IntN(3), h.newCap)
	if h.market.disputes {
		times(10, h.quarrelOn)
		times(3, h.expire)
		times(max(0, p.nights), h.nightfall)
	}
	times(h.rand.IntN(3), h.stand)
	times(p.directories, func() { h.rule(h.market.vary(h.rand), h.rand.IntN(3) == 0) })
	if p.flip {
		h.after(between(h.rand, p.span/2, p.span), h.flip)
	}
}

func (h *history) partition() {
	links := []*link{h.agent.link, h.dealerLink}
	for _, s := range h.shops {
		links = append(links, s.link)
	}
	for _, w := range h.wallets {
		links = append(links, w.link)
	}
	l := links[h.rand.IntN(len(links))]
	h.spell(500*time.Millisecond, time.Minute, "no way between the switch and "+l.name, func() { l.cut++ }, func() { l.cut-- })
}

// two starts a switch beside the one that runs: it will be fenced off, but it does
// not know that yet.
func (h *history) two() {
	old := h.serving()
	if old == nil {
		return
	}
	h.count(TwoSwitches)
	follows := time.Duration(0)
	if h.rand.IntN(2) == 0 {
		follows = between(h.rand, time.Millisecond, 30*time.Second)
	}
	h.boot(follows)
	h.after(between(h.rand, time.Second, time.Minute), func() {
		if h.living() != old && !old.dead {
			h.gone(old)
		}
	})
}

// jump sets the clock of the switch.
func (h *history) jump() {
	p := h.living()
	if p == nil {
		return
	}
	by := between(h.rand, 100*time.Millisecond, 10*time.Minute)
	if h.rand.IntN(8) == 0 {
		by = between(h.rand, 10*time.Minute, time.Hour)
	}
	if h.rand.IntN(2) == 0 {
		h.count(ClockBack)
		by = -by
	} else {
		h.count(ClockForward)
	}
	p.shift += by
	h.tell("the clock of switch %d jumps by %v", p.number, by)
}

// peek compares the accounts of the switch that runs with those of the journal, if
// neither has moved on meanwhile.
func (h *history) peek() {
	p := h.serving()
	if p == nil {
		return
	}
	h.peeks++
	n := h.peeks
	h.background(func() {
		var next uint64
		var positions []clearing.Position
		var live [32]byte
		err := p.engine.Ledger().Read(p.ctx, func(b *clearing.Book) {
			if next, positions = b.Next(), b.Positions(); h.plan.snapshots {
				live = digest(b)
			}
		})
		h.soon(func() {
			if err == nil && next == uint64(len(h.oracle.entries))+1 {
				h.tell("switch %d agrees with the journal up to entry %d", p.number, next-1)
				h.checkPositions(positions)
				if h.plan.snapshots {
					if replayed, err := replay(h.disk.messages); err != nil || replayed != live {
						h.fail("replay", "the books of switch %d differ from those of the journal up to entry %d: %v", p.number, next-1, err)
					}
				}
				if p.up && p.adopting == 0 && !p.half && h.current(p) && h.oracle.version == h.registry.Current().Version() {
					h.oracle.obeyed()
				}
			}
		}, 'k', n)
	})
}

// heal ends all faults, and waits for everything else to end.
func (h *history) heal() {
	h.tell("all is healed")
	h.healed = true
	for _, end := range h.operator.onHeal {
		end()
	}
	last := h.living()
	for _, p := range h.plants {
		p.shift = 0
		p.clock()
		if p != last && !p.dead {
			h.gone(p)
		}
	}
	if last == nil {
		h.boot(0)
	}
	h.rule(h.market.wide(), false)
	h.after(between(h.rand, time.Second, 5*time.Second), func() { h.quiet(h.now() + quietWait) })
}

// quiet looks whether everything has ended, and comes back if not.
func (h *history) quiet(until time.Duration) {
	waits := h.waitsFor()
	switch {
	case waits == "":
		p, messages := h.living(), stored(h.disk.messages)
		h.background(func() { h.last(p, messages) })
	case h.now() > until:
		h.fail("liveness", "%s, though all was healed long ago", waits)
	default:
		h.after(between(h.rand, 5*time.Second, 10*time.Second), func() { h.quiet(until) })
	}
}

// waitsFor says what has not ended yet; "" if all has.
func (h *history) waitsFor() string {
	p := h.living()
	switch {
	case p == nil || !p.up:
		return "the switch is not up"
	case p.adopting > 0:
		return "a directory is being adopted"
	case h.oracle.open > 0:
		return fmt.Sprintf("%d payments are open", h.oracle.open)
	}
	if h.endQuarrels() {
		return "disputes are open"
	}
	for _, t := range h.tills {
		if !t.done {
			return fmt.Sprintf("till %d does not know its end", t.number)
		}
	}
	if ids := h.oracle.unsettled(); len(ids) > 0 {
		h.settle()
		return fmt.Sprintf("windows %v are not settled", ids)
	}
	for _, id := range h.market.modelIDs() {
		if w := h.oracle.current(id); w != nil && len(w.moves) > 0 {
			h.closeWindow(id)
			return "the last window is open"
		}
	}
	if p.half || h.oracle.version != h.registry.Current().Version() {
		h.adopt(p, h.registry.Current())
		return "the directory is not adopted"
	}
	return ""
}

// last compares all books when everything is quiet. It runs on a goroutine of its
// own, since it asks the switch p.
func (h *history) last(p *plant, messages stored) {
	var live [32]byte
	var positions []clearing.Position
	err := p.engine.Ledger().Read(context.Background(), func(b *clearing.Book) { live, positions = digest(b), b.Positions() })
	if err == nil {
		err = compare(messages, live)
	}
	h.soon(func() {
		if err != nil {
			h.fail("replay", "%v", err)
		}
		h.checkPositions(positions)
		h.oracle.obeyed()
		h.checkSettled()
		h.checkWallets()
		h.checkAgent()
		h.checkTills()
		h.tell("over")
		h.over = true
	}, 'z')
}

// compare replays the journal and audits it.
func compare(messages stored, live [32]byte) error {
	replayed, err := replay(messages)
	if err != nil {
		return err
	}
	if replayed != live {
		return errors.New("the books of the journal differ from those of the switch")
	}
	report, err := clearing.Audit(context.Background(), messages, clearing.AuditOptions{})
	if err == nil && !report.OK {
		err = fmt.Errorf("audit: %v", report.Findings)
	}
	return err
}

// replay makes books of a journal, as a start does.
func replay(messages stored) ([32]byte, error) {
	book := clearing.NewBook()
	log, err := journal.Open(context.Background(), messages, 0, func(b journal.Batch) error { return book.Replay(b, nil) })
	if err != nil {
		return [32]byte{}, err
	}
	return digest(book), log.Close()
}

// digest stands for all that books are: what a snapshot holds, and what can be seen of
// them, lest a snapshot that forgets something goes unnoticed.
func digest(b *clearing.Book) [32]byte {
	sum := sha256.New()
	fmt.Fprintln(sum, b.Next(), b.Clock(), b.Directory(), b.Unfinished(), b.Positions(), b.Models(), b.Sheets(0))
	fmt.Fprintln(sum, b.Recent(1<<30, func(*clearing.Payment) bool { return true }), b.Disputes(func(*clearing.Dispute) bool { return true }))
	_ = b.WriteSnapshot(sum, journal.Position{}) // a hash takes everything
	return [32]byte(sum.Sum(nil))
}

func (h *history) checkPositions(positions []clearing.Position) {
	o := h.oracle
	for _, at := range positions {
		a := o.at(at.Participant, at.Currency)
		want := clearing.Position{Participant: at.Participant, Currency: at.Currency, Position: a.net, Reserved: a.reserved, Cap: a.limit, Capped: a.capped,
			Suspended: o.barred(at.Participant), Prefunded: a.prefund, Sponsor: o.sponsors[at.Participant]}
		if want.Sponsor != "" {
			want.MemoPosition, want.MemoReserved = o.memo(at.Participant, at.Currency)
		}
		if at != want {
			h.fail("position", "the books have %+v, the journal adds up to %+v", at, want)
		}
	}
}

// checkSettled holds that nobody owes or holds anything in the end.
func (h *history) checkSettled() {
	for _, k := range h.oracle.known {
		if a := h.oracle.accounts[k]; a.net != 0 || a.reserved != 0 {
			h.fail("position", "%s is left with %d owed and %d held", k.who, a.net, a.reserved)
		}
	}
}

// checkWallets compares the wallets' own books with the journal: whoever was
// debited has a payment that is posted and stands, and the other way round.
func (h *history) checkWallets() {
	stands := map[tongma.PaymentID]tongma.SchemeID{}
	for _, p := range h.oracle.order {
		if p.phase == clearing.KindPost {
			stands[p.first.Payment] = p.first.Scheme
		}
	}
	for _, w := range h.wallets {
		for _, l := range w.order {
			scheme, posted := stands[l.id]
			if l.fate == done != (posted && scheme == w.scheme) {
				h.fail("wallet", "%s has payment %d as %v, the journal as %v", w.scheme, name(l.id), l.fate, h.oracle.payments[l.id].phase)
			}
			if p := h.oracle.payments[l.id]; l.fate == done && p.told() != l.amount {
				h.fail("wallet", "%s has payment %d with %v, the journal with %v", w.scheme, name(l.id), l.amount, p.told())
			}
			delete(stands, l.id)
		}
	}
	for _, p := range h.oracle.order {
		if scheme, left := stands[p.first.Payment]; left {
			h.fail("wallet", "payment %d is posted, and %s has never heard of it", name(p.first.Payment), scheme)
		}
	}
}

// checkAgent compares what the agent moved with what the journal says of each window:
// by party and currency the same, and nothing left on the settlement account.
func (h *history) checkAgent() {
	moved := make([]map[account]int64, len(h.oracle.windows))
	for i := range moved {
		moved[i] = map[account]int64{}
	}
	for _, o := range h.agent.list {
		w := moved[o.transfer.Window-1]
		w[account{o.transfer.Debtor, o.transfer.Amount.Currency}] += o.moved
		w[account{o.transfer.Creditor, o.transfer.Amount.Currency}] -= o.moved
	}
	for i, w := range h.oracle.windows {
		for _, k := range h.oracle.known {
			if got, want := moved[i][k], w.cash[k]; got != want {
				h.fail("agent", "the agent moved %d for %q in window %d, the journal has %d", got, k.who, i+1, want)
			}
			if left := w.cash[k]; k.who == "" && left != 0 {
				h.fail("agent", "window %d leaves %d on the settlement account", i+1, -left)
			}
		}
	}
}

// checkTills compares what each asker was told in the end with the journal.
func (h *history) checkTills() {
	for _, t := range h.tills {
		id, ok := h.oracle.keys[slot(t.request.From, t.request.Key)]
		if !ok {
			h.fail("lost", "till %d was told %s, and the journal knows nothing of it", t.number, t.status)
			continue
		}
		p := h.oracle.payments[id]
		paid := p.phase == clearing.KindPost
		if t.id != id || (t.status == tongma.Paid) != paid {
			h.fail("told", "till %d was told %s of payment %d, the journal says %v of %d", t.number, t.status, name(t.id), p.phase, name(id))
		}
	}
}

// flip turns one bit of what is stored. It must be found by whoever reads it next;
// then the history is over.
func (h *history) flip() {
	if len(h.disk.messages) == 0 || h.healed {
		return
	}
	h.count(BitFlip)
	n := h.rand.IntN(len(h.disk.messages))
	head := journal.Hash(h.disk.messages[len(h.disk.messages)-1])
	b, err := journal.ParseBatch(h.disk.messages[len(h.disk.messages)-1])
	if err != nil {
		h.fail("journal", "%v", err)
		return
	}
	damaged := append([]byte(nil), h.disk.messages[n]...)
	bit := h.rand.IntN(8 * len(damaged))
	damaged[bit/8] ^= 1 << (bit % 8)
	messages := append(stored(nil), h.disk.messages...)
	messages[n] = damaged
	h.tell("bit %d of message %d flips", bit, n+1)
	// The hash of the last batch is held elsewhere, as a checkpoint is: there is no
	// later batch that would name it.
	report, err := clearing.Audit(context.Background(), messages, clearing.AuditOptions{Known: map[uint64][32]byte{b.Number: head}})
	if err == nil && report.OK {
		h.fail("damage", "bit %d of message %d of %d was turned, and the audit is content", bit, n+1, len(messages))
	}
	if _, err := replay(messages); err == nil && n+1 < len(messages) {
		h.fail("damage", "bit %d of message %d of %d was turned, and a start is content", bit, n+1, len(messages))
	}
	h.disk.damaged, h.over = true, true
}

func isStop(err error) bool {
	var chain *journal.ChainError
	if errors.As(err, &chain) {
		return false
	}
	for _, known := range []error{journal.ErrStopped, journal.ErrInDoubt, journal.ErrFenced, clearing.ErrTaken, context.Canceled, context.DeadlineExceeded, errAway} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
