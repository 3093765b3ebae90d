package sim

import (
	"strings"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// order is a cap that somebody proposed, a deposit or a withdrawal.
type order struct {
	kind  clearing.Kind // of its latest entry
	who   account
	minor int64
	maker string
	set   uint64 // entry that had set the cap when it was proposed
}

// market returns the version of the directory that the books are under.
func (o *oracle) market() *market { return &o.h.markets[max(o.version, 1)-1] }

// settler is who settles for somebody: itself or its sponsor.
func (o *oracle) settler(who tongma.ParticipantID) tongma.ParticipantID {
	if s := o.sponsors[who]; s != "" {
		return s
	}
	return who
}

// memo is a sub-participant's own share in its sponsor's account: all that it has in
// windows that are not settled, and its open holds.
func (o *oracle) memo(who tongma.ParticipantID, c tongma.Currency) (position, reserved int64) {
	for _, w := range o.windows {
		if w.state == clearing.KindSettled {
			continue
		}
		for _, at := range w.moves {
			if at.currency != c {
				continue
			}
			if at.by[0] == who {
				position += at.minor
			}
			if at.by[1] == who {
				position -= at.minor
			}
		}
	}
	for _, p := range o.order {
		if f := &p.first; p.held() && f.Debtor == who && f.Amount.Currency == c {
			reserved += f.Amount.Minor
		}
	}
	return position, reserved
}

// busy tells whether somebody has holds, or stands in a window that is not settled.
func (o *oracle) busy(who tongma.ParticipantID) bool {
	for _, w := range o.windows {
		for _, at := range w.moves {
			if w.state != clearing.KindSettled && (at.by[0] == who || at.by[1] == who || at.from == who || at.to == who) {
				return true
			}
		}
	}
	for _, p := range o.order {
		if p.held() && (p.first.Debtor == who || p.first.Dealer == who) {
			return true
		}
	}
	return false
}

// ruled is what the directory says, or people.
func (o *oracle) ruled(e *clearing.Entry) {
	a := o.at(e.Debtor, e.Amount.Currency)
	switch e.Kind {
	case clearing.KindDirectory:
		if e.Directory <= o.version || e.Directory > uint64(len(o.h.markets)) {
			o.fail("directory", "entry %d brings version %d into force behind %d", e.Number, e.Directory, o.version)
			return
		}
		o.version = e.Directory
	case clearing.KindCap:
		if m := o.market(); !m.has(e.Debtor) || e.Amount.Minor != m.cap(e.Debtor) {
			o.fail("cap rule", "entry %d sets the cap of %s to %d, version %d says %d", e.Number, e.Debtor, e.Amount.Minor, o.version, m.cap(e.Debtor))
		}
		o.limit(a, e)
		a.directed = e.Amount.Minor
	case clearing.KindSuspend:
		o.h.count(Suspended)
		o.note(PersonSuspends, e.Maker != "")
		o.note(DirectorySuspends, e.Maker == "")
		if m := o.market(); e.Maker == "" && !m.isSuspended(e.Debtor) {
			o.fail("suspended by whom", "entry %d suspends %s, whom version %d does not", e.Number, e.Debtor, o.version)
		}
		o.blocked[e.Debtor], o.kept[e.Debtor] = true, o.kept[e.Debtor] || e.Maker != ""
	case clearing.KindResume:
		o.h.count(Resumed)
		if m := o.market(); e.Maker == "" && (o.kept[e.Debtor] || m.isSuspended(e.Debtor)) {
			o.fail("resumed", "entry %d: the directory resumes %s, who is suspended by it or by a person, or is short", e.Number, e.Debtor)
		}
		o.blocked[e.Debtor], o.kept[e.Debtor] = false, false
	case clearing.KindSponsor:
		o.sponsored(e)
	default:
		o.ordered(e, a)
	}
}

func (o *oracle) limit(a *standing, e *clearing.Entry) {
	if a.capped && e.Amount.Minor < a.limit {
		o.h.count(CapLowered)
	}
	a.capped, a.limit, a.set = true, e.Amount.Minor, e.Number
}

// sponsored is a change of who settles for whom.
func (o *oracle) sponsored(e *clearing.Entry) {
	o.note(SponsorChanged, true)
	m := o.market()
	ends := e.Creditor == "" && o.sponsors[e.Debtor] != "" // on the way to another one, too
	if e.Debtor != subS || o.busy(subS) || (!ends && e.Creditor != m.sponsor) || (ends && o.sponsors[e.Debtor] == m.sponsor) {
		o.fail("sponsor", "entry %d gives %s the sponsor %q; it is busy: %t, version %d says %q", e.Number, e.Debtor, e.Creditor, o.busy(subS), o.version, m.sponsor)
	}
	o.sponsors[e.Debtor] = e.Creditor
}

// ordered is a cap of two people, or prefunding.
func (o *oracle) ordered(e *clearing.Entry, a *standing) {
	p, known := o.orders[e.Key]
	two := e.Kind == clearing.KindCapApproved || e.Kind == clearing.KindCapRejected
	if known != two || e.Key == "" || (!two && !a.capped) {
		o.fail("order", "entry %d: %v under key %q does not follow", e.Number, e.Kind, e.Key)
		return
	}
	switch e.Kind {
	case clearing.KindDeposit:
		o.h.count(Prefunded)
		a.prefund += e.Amount.Minor
	case clearing.KindWithdraw:
		o.note(Withdrawn, true)
		if a.prefund -= e.Amount.Minor; a.prefund < 0 || o.blocked[e.Debtor] {
			o.fail("withdrawn", "entry %d leaves %s with %d of prefunding; it is suspended: %t", e.Number, e.Debtor, a.prefund, o.blocked[e.Debtor])
		}
		use := a.net + a.reserved
		if o.sponsors[e.Debtor] != "" {
			position, reserved := o.memo(e.Debtor, e.Amount.Currency)
			use = position + reserved
		}
		if use > a.limit+a.prefund {
			o.fail("withdrawn", "entry %d: %s uses %d, and is left with %d and %d", e.Number, e.Debtor, use, a.limit, a.prefund)
		}
	case clearing.KindCapApproved, clearing.KindCapRejected:
		one, other := strings.ToLower(strings.TrimSpace(p.maker)), strings.ToLower(strings.TrimSpace(e.Checker))
		if p.kind != clearing.KindCapProposed || one == other || e.Checker == "" || e.Maker != p.maker || p.who != (account{e.Debtor, e.Amount.Currency}) || e.Amount.Minor != p.minor {
			o.fail("two people", "entry %d: %q decides on what %q proposed", e.Number, e.Checker, p.maker)
		}
		p.kind = e.Kind
		if e.Kind == clearing.KindCapRejected {
			o.note(CapRejected, true)
			return
		}
		if p.set != a.set {
			o.fail("two people", "entry %d approves a cap that was proposed against another", e.Number)
		}
		o.note(TwoPeoplesCap, true)
		o.limit(a, e)
		return
	}
	o.orders[e.Key] = &order{kind: e.Kind, who: account{e.Debtor, e.Amount.Currency}, minor: e.Amount.Minor, maker: e.Maker, set: a.set}
}

// obeyed holds that the books are under the directory that they name, once nobody is
// on the way to another: as to caps, suspensions and sponsors.
func (o *oracle) obeyed() {
	m := o.market()
	o.note(SponsorStays, m.sub && o.sponsors[subS] != m.sponsor)
	for _, who := range everybody {
		if !m.has(who) {
			continue
		}
		for _, c := range currencies {
			if a := o.at(who, c); a.directed != m.cap(who) {
				o.fail("adopted", "version %d gives %s a cap of %d, the books were told of %d", o.version, who, m.cap(who), a.directed)
			}
		}
		if m.isSuspended(who) && !o.blocked[who] {
			o.fail("adopted", "version %d suspends %s, and the books do not", o.version, who)
		}
		if !m.isSuspended(who) && o.blocked[who] && !o.kept[who] {
			o.fail("adopted", "version %d does not suspend %s, and the books do", o.version, who)
		}
	}
}
