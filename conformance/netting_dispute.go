package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tongma/tongma"
)

// disputed is a dispute, and how far it has come.
type disputed struct {
	line    // that raised it
	of      *tracked
	stage   string
	expires string // by when whoever's turn it is has to act
	maker   string // who proposed the ruling
	window  *Sheet // that the chargeback is in
	moved   []owes // by it
}

// turns says from which stage of a dispute to which others it may go, and who takes it
// there: the payer's network raised it, the payee's answers; a clock takes it when a
// deadline has passed; and of the operator one person proposes a ruling and another
// decides on it.
var turns = map[string]map[string]string{
	"raised":          {"accepted": "payee", "represented": "payee", "deemed-accepted": "clock", "withdrawn": "payer"},
	"represented":     {"withdrawn": "payer", "pre-arbitration": "payer", "deemed-withdrawn": "clock", "accepted": "payee"},
	"pre-arbitration": {"accepted": "payee", "arbitration": "payee", "deemed-accepted": "clock", "withdrawn": "payer"},
	"arbitration":     {"uphold-proposed": "maker", "reject-proposed": "maker", "withdrawn": "payer", "accepted": "payee"},
	"uphold-proposed": {"upheld": "checker", "arbitration": "checker"},
	"reject-proposed": {"rejected": "checker", "arbitration": "checker"},
}

// chargesBack are the ends by which the payee pays back.
var chargesBack = map[string]bool{"accepted": true, "deemed-accepted": true, "upheld": true}

// raise takes a new dispute. All disputes and refunds of a payment together take no
// more than was posted.
func (r *recomputing) raise(l *line) error {
	p, key := r.payments[l.Original], l.Asker+"\x00"+l.Key
	got, currency := int64(0), ""
	if p != nil {
		minor, c := p.got()
		got, currency = minor, c.Code()
	}
	switch {
	case l.Payment == "" || r.payments[l.Payment] != nil || r.disputes[l.Payment] != nil:
		return fmt.Errorf("the dispute was there before")
	case r.keys[key]:
		return fmt.Errorf("the key of %s was used before", l.Asker)
	case r.open[l.Model] == nil || (l.Auth != 0 && tongma.WindowID(l.Auth) != r.open[l.Model].Window):
		return fmt.Errorf("no window %d of model %q is open", l.Auth, l.Model)
	case p == nil || p.phase != "post" || p.of != nil:
		return fmt.Errorf("a dispute of what was not paid")
	case l.Asker != string(p.Debtor) || l.Debtor != p.Debtor || l.Creditor != p.Creditor || l.Currency != currency || l.Stage != "raised":
		return fmt.Errorf("it is not raised by who paid, or says another payment")
	case l.Minor <= 0 || p.taken()+l.Minor > got:
		return fmt.Errorf("%d more are disputed of %d, of which refunds and disputes have %d", l.Minor, got, p.taken())
	}
	if err := p.proportion(l); err != nil {
		return err
	}
	r.keys[key] = true
	p.disputed += l.Minor
	p.others += l.Target
	r.disputes[l.Payment] = &disputed{line: *l, of: p, stage: l.Stage, expires: l.Expiry}
	return nil
}

// disputeStep takes a dispute to another stage. By some ends the money goes back, in
// the open window of the dispute's model.
func (r *recomputing) disputeStep(l *line) error {
	d := r.disputes[l.Payment]
	if d == nil {
		return fmt.Errorf("no such dispute was raised")
	}
	if err := d.mayGo(l); err != nil {
		return err
	}
	p := d.of
	if l.Original != d.Original || l.Debtor != p.Debtor || l.Creditor != p.Creditor || l.Minor != d.Minor || l.Currency != d.Currency || l.Model != d.Model || l.Dealer != d.Dealer || l.Target != d.Target {
		return fmt.Errorf("it says another dispute than was raised")
	}
	d.stage, d.expires, d.maker = l.Stage, l.Expiry, l.Maker
	if !chargesBack[l.Stage] && l.Window != 0 {
		return fmt.Errorf("it moves nothing, but names a window")
	}
	if turns[l.Stage] != nil {
		return nil // it goes on
	}
	if p.disputed -= d.Minor; !chargesBack[l.Stage] {
		p.others -= d.Target
		return nil
	}
	w := r.open[d.Model]
	if tongma.WindowID(l.Window) != w.Window {
		return fmt.Errorf("it names window %d while %d is open", l.Window, w.Window)
	}
	p.charged += d.Minor
	got, c := p.got()
	d.window = w
	if d.moved = []owes{{Pair{p.Creditor, p.Debtor, c}, d.Minor}}; p.Dealer != "" {
		d.moved = []owes{{Pair{p.Creditor, p.Dealer, c}, d.Minor}, {Pair{p.Dealer, p.Debtor, p.currency}, d.Target}}
	}
	due := []fee{}
	if l.Op != "" { // older journals do not name it, and kept the fees
		due = returning(p.fees, p.given+p.feesGone, d.Minor, got)
		p.feesGone += d.Minor
	}
	if !slices.Equal(l.Fees, due) && len(l.Fees)+len(due) > 0 {
		return fmt.Errorf("its fees are %v, those that go back are %v", l.Fees, due)
	}
	for _, f := range due {
		d.moved = append(d.moved, owes{Pair{f.From, f.To, p.currency}, f.Minor})
	}
	for _, x := range d.moved {
		if err := r.move(r.settlers(x.pair), x.minor); err != nil {
			return err
		}
		if err := r.count(w, x.pair, Cell{x.minor, 0}); err != nil {
			return err
		}
	}
	return nil
}

// mayGo says whether a line's stage follows, and whether whoever takes the dispute
// there may, and in time.
func (d *disputed) mayGo(l *line) error {
	late := d.expires != "" && l.Time > d.expires
	timed := turns[d.stage]["deemed-accepted"] != "" || turns[d.stage]["deemed-withdrawn"] != ""
	asker := map[string]string{"payer": string(d.Debtor), "payee": string(d.Creditor)}
	who := turns[d.stage][l.Stage]
	switch {
	case who == "":
		return fmt.Errorf("it goes from %q to %q", d.stage, l.Stage)
	case l.Asker != asker[who]:
		return fmt.Errorf("%q takes it to %q, where it is the turn of the %s", l.Asker, l.Stage, who)
	case who == "clock" && !late:
		return fmt.Errorf("its deadline of %q has not passed", d.expires)
	case who != "clock" && late && timed:
		return fmt.Errorf("its deadline of %q has passed", d.expires)
	case who == "maker" && (l.Maker == "" || l.Checker != ""):
		return fmt.Errorf("a ruling is proposed by %q", l.Maker)
	case who == "checker" && (l.Checker == "" || l.Maker != d.maker || strings.EqualFold(strings.TrimSpace(l.Checker), strings.TrimSpace(d.maker))):
		return fmt.Errorf("proposed by %q, decided by %q", d.maker, l.Checker)
	}
	return nil
}
