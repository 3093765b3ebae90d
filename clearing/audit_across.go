package clearing

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
)

// Checks across shards, by id: what no journal shows by itself.
const (
	acrossShards  = "shards"
	acrossTransit = "transit"
	acrossGather  = "gathered-net"
	acrossKeys    = "key-once"
	acrossClaims  = "claimed"
	acrossHomes   = "one-home"
	acrossCodes   = "code-once"
	acrossOrders  = "order-once"
)

var acrossChecks = []AuditCheck{
	{acrossShards, "There is a journal of every shard, and each says which one it is of how many, and over how many ids and keys are spread."},
	{acrossTransit, "What came in to a shard is what left the other for it, in the same order; what left and has not come in is on the way, and the accounts of shards add up to that."},
	{acrossGather, "What the head gathered of a shard's window is what that window comes to, recomputed from the shard's own journal; and each of a shard's windows is settled only if the head's is."},
	{acrossKeys, "No asker's key has a payment in two shards."},
	{acrossClaims, "A payment is in the shard that its key was given to, or in the key's owner."},
	{acrossHomes, "Nobody is at home in two shards."},
	{acrossCodes, "A payer's code is not spent in two shards on the same day or the next, unless it was given back."},
	{acrossOrders, "No deposit, withdrawal or proposed cap of a participant stands in two shards under one key."},
}

// AcrossChecks returns what AuditShards proves besides the audit of each journal.
func AcrossChecks() []AuditCheck { return slices.Clone(acrossChecks) }

// ShardsReport is what the audit of all shards of a switch found.
type ShardsReport struct {
	OK        bool            `json:"ok"`
	Shards    []Report        `json:"shards"` // by number, from 1
	UnderWay  []CarryUnder    `json:"under_way,omitempty"`
	Positions []AuditPosition `json:"positions"` // over all shards
	Findings  []Finding       `json:"findings"`  // across shards; those of a journal are in its own report
}

// CarryUnder is room that left one shard and has not come in to another yet.
type CarryUnder struct {
	From        uint16 `json:"from"`
	To          uint16 `json:"to"`
	Sequence    uint64 `json:"sequence"`
	Participant string `json:"participant"`
	Currency    string `json:"currency"`
	Amount      int64  `json:"amount_minor"`
}

// AuditShards audits the journals of all shards of a switch, the head's first, each by
// itself and then against each other. Journals that are written to meanwhile are read
// one after another: what came in behind what was read of the other side is found as
// if it came from nowhere, so that a switch that runs is audited from the last shard
// to the head, and again if something was found.
func AuditShards(ctx context.Context, stores []journal.Store, opts AuditOptions) (ShardsReport, error) {
	auditors := make([]*Auditor, len(stores))
	for i := len(stores) - 1; i >= 0; i-- {
		own := opts
		own.Shard = uint16(i)
		a := NewAuditor(own)
		err := stores[i].Read(ctx, 1, func(seq uint64, message []byte) error {
			a.Message(seq, message)
			if a.broken {
				return errAuditEnds
			}
			return nil
		})
		if err != nil && !a.broken {
			return ShardsReport{}, fmt.Errorf("clearing.AuditShards: reading the journal of shard %d: %w", i+1, err)
		}
		auditors[i] = a
	}
	return Across(auditors), nil
}

// Across compares what the journals of all shards say, each audited by itself.
func Across(auditors []*Auditor) ShardsReport {
	x := &across{auditors: auditors}
	for i, a := range auditors {
		if s := &a.shards; int(s.self) != i+1 || int(s.count) != len(auditors) {
			x.find(acrossShards, "journal %d is of shard %d of %d, there are %d journals", i+1, s.self, s.count, len(auditors))
		} else if s.spread != auditors[0].shards.spread {
			x.find(acrossShards, "in journal %d ids and keys are spread over %d shards, in journal 1 over %d", i+1, s.spread, auditors[0].shards.spread)
		}
	}
	x.transit()
	x.gathered()
	x.keys()
	x.homes()
	x.codes()
	x.orders()
	out := ShardsReport{OK: len(x.findings) == 0, UnderWay: x.under, Findings: append([]Finding{}, x.findings...), Positions: x.positions()}
	for _, a := range auditors {
		r := a.Report()
		out.OK = out.OK && r.OK
		out.Shards = append(out.Shards, r)
	}
	return out
}

type across struct {
	auditors []*Auditor
	findings []Finding
	under    []CarryUnder
}

func (x *across) find(check, format string, args ...any) {
	if len(x.findings) < 100 {
		x.findings = append(x.findings, Finding{Check: check, Detail: fmt.Sprintf(format, args...)})
	}
}

// transit holds what left against what came in, pair by pair.
func (x *across) transit() {
	sums := map[tongma.Currency]*big.Int{}
	for f, from := range x.auditors {
		for t, to := range x.auditors {
			out, in := from.shards.out[uint16(t+1)], to.shards.in[uint16(f+1)]
			for i := range max(len(out), len(in)) {
				switch {
				case i >= len(out):
					x.find(acrossTransit, "shard %d took in number %d of shard %d, which has sent %d", t+1, i+1, f+1, len(out))
				case i >= len(in):
					c := out[i]
					x.under = append(x.under, CarryUnder{uint16(f + 1), uint16(t + 1), c.Sequence, string(c.Participant), c.Amount.Currency.Code(), c.Amount.Minor})
					addBig(sums, c.Amount.Currency, c.Amount.Minor)
				case out[i].Participant != in[i].Participant || out[i].Amount != in[i].Amount:
					x.find(acrossTransit, "number %d from shard %d to %d: %d of %s left, %d of %s came in", i+1, f+1, t+1, out[i].Amount.Minor, out[i].Participant, in[i].Amount.Minor, in[i].Participant)
				}
			}
		}
		for k, b := range from.accounts {
			if IsTransit(k.who) {
				addBig(sums, k.currency, b.position)
			}
		}
	}
	for _, c := range slices.Sorted(maps.Keys(sums)) {
		if sums[c].Sign() != 0 {
			x.find(acrossTransit, "the accounts of shards in %s, and what is on the way, add up to %s", c, sums[c])
		}
	}
}

// orders holds that what was asked for once under a key is booked once, however often it
// was repeated behind moves.
func (x *across) orders() {
	type order struct {
		key  string
		who  tongma.ParticipantID
		kind Kind
	}
	at := map[order]int{}
	for i, a := range x.auditors {
		for key, o := range a.orders {
			k := order{key, o.of.who, o.kind}
			if at[k] != 0 {
				x.find(acrossOrders, "%s of %s stands in shard %d and in shard %d under one key", o.kind, o.of.who, at[k], i+1)
			}
			at[k] = i + 1
		}
	}
}

// gathered holds what the head took in against what the shards' windows come to.
func (x *across) gathered() {
	if len(x.auditors) == 0 {
		return
	}
	head := x.auditors[0]
	for _, w := range head.windows {
		for s, p := range w.gathered {
			if int(s) > len(x.auditors) || p.have < p.pages {
				continue
			}
			a := x.auditors[s-1]
			if p.window == 0 || int(p.window) > len(a.windows) || a.windows[p.window-1].linked != w.id || a.windows[p.window-1].hash != p.hash {
				x.find(acrossGather, "%s of the head has %s of shard %d, which is none of that sheet", w.id, p.window, s)
				continue
			}
			x.sameMatrix(a.windows[p.window-1], p, s)
		}
	}
	for i, a := range x.auditors[1:] {
		for _, w := range a.windows {
			settled := w.linked != 0 && int(w.linked) <= len(head.windows) && head.windows[w.linked-1].state == auditSettled
			if w.linked != 0 && w.state == auditSettled && !settled {
				x.find(acrossGather, "%s of shard %d is settled, %s of the head is not", w.id, i+2, w.linked)
			}
		}
	}
}

func (x *across) sameMatrix(w *auditWindow, p *auditPages, shard uint16) {
	type cell struct {
		from, to tongma.ParticipantID
		currency tongma.Currency
	}
	sums := map[cell]int64{}
	for _, c := range p.cells {
		sums[cell{c.Debtor, c.Creditor, c.Currency}] += c.Gross
	}
	for pair, gross := range w.matrix {
		sums[cell{pair.debtor.who, pair.creditor.who, pair.debtor.currency}] -= gross
	}
	for c, left := range sums {
		if left != 0 {
			x.find(acrossGather, "%s of shard %d: from %s to %s in %s the head has %d more than the shard's journal says", w.id, shard, c.from, c.to, c.currency, left)
		}
	}
}

// keys holds that a key has one payment, where it was given to.
func (x *across) keys() {
	holder := map[auditKey]int{}
	for i, a := range x.auditors {
		for k := range a.keys {
			if other, twice := holder[k]; twice {
				x.find(acrossKeys, "a key of %s has a payment in shard %d and in shard %d", k.asker, other, i+1)
			}
			holder[k] = i + 1
		}
	}
	for i, a := range x.auditors {
		for k := range a.shards.placed {
			owner := min(int(auditOwner(k.asker, k.key, a.shards.spread)), len(x.auditors))
			if owner == i+1 {
				continue
			}
			if given := x.auditors[owner-1].shards.claims[k]; int(given) != i+1 {
				x.find(acrossClaims, "a key of %s has a payment in shard %d, its owner %d gave it to %d", k.asker, i+1, owner, given)
			}
		}
	}
}

func (x *across) homes() {
	at := map[tongma.ParticipantID]int{}
	for i, a := range x.auditors {
		seen := map[tongma.ParticipantID]bool{}
		for k := range a.accounts {
			if seen[k.who] || IsTransit(k.who) || a.shards.count < 2 || a.homeOf(k.who) != a.shards.self {
				continue
			}
			seen[k.who] = true
			if other, twice := at[k.who]; twice {
				x.find(acrossHomes, "%s is at home in shard %d and in shard %d", k.who, other, i+1)
			}
			at[k.who] = i + 1
		}
	}
}

// positions adds up what everybody stands at over all shards.
func (x *across) positions() []AuditPosition {
	sums := map[auditAccount]*AuditPosition{}
	var order []auditAccount
	for _, a := range x.auditors {
		for _, b := range a.sorted() {
			p := sums[b.auditAccount]
			if p == nil {
				p = &AuditPosition{Participant: string(b.who), Currency: b.currency.Code()}
				sums[b.auditAccount] = p
				order = append(order, b.auditAccount)
			}
			p.Position, p.Reserved, p.Prefunded = p.Position+b.position, p.Reserved+b.reserved, p.Prefunded+b.prefunding
			p.Suspended = p.Suspended || a.suspended[b.who]
			if b.capped && a.homeOf(b.who) == a.shards.self {
				figure := b.cap
				p.Cap = &figure
			}
		}
	}
	out := []AuditPosition{}
	for _, k := range order {
		if !IsTransit(k.who) {
			out = append(out, *sums[k])
		}
	}
	slices.SortFunc(out, func(p, q AuditPosition) int {
		return slices.Compare([]string{p.Participant, p.Currency}, []string{q.Participant, q.Currency})
	})
	return out
}

// codes holds that a code which was spent in one shard was not spent in another before
// it may be forgotten.
func (x *across) codes() {
	for i, a := range x.auditors {
		for j := i + 1; j < len(x.auditors); j++ {
			for code, day := range a.codes {
				if other, twice := x.auditors[j].codes[code]; twice && day-other <= 1 && other-day <= 1 {
					x.find(acrossCodes, "the same code was spent in shard %d and in shard %d", i+1, j+1)
				}
			}
		}
	}
}
