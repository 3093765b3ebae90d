package conformance

import (
	"fmt"
	"strings"
)

// order is a proposed cap, a deposit or a withdrawal. Its key is never used again.
type order struct {
	line
	account Account
	waits   bool // a cap that was not approved or rejected yet
}

func (r *recomputing) setCap(l *line) error {
	a, s, err := r.account(l)
	if err == nil && l.Minor < 0 {
		err = fmt.Errorf("a cap of %d", l.Minor)
	}
	if err == nil {
		s.Cap, s.Capped, r.capAt[a] = l.Minor, true, l.Entry
	}
	return err
}

func (r *recomputing) suspend(l *line) error {
	if !l.Debtor.Valid() || r.suspended[l.Debtor] == (l.Kind == "suspend") {
		return fmt.Errorf("%q is so already, or nobody", l.Debtor)
	}
	r.suspended[l.Debtor] = l.Kind == "suspend"
	return nil
}

// ordered takes the first line under a key.
func (r *recomputing) ordered(l *line) (*Standing, error) {
	a, s, err := r.account(l)
	switch {
	case err != nil:
		return nil, err
	case l.Key == "" || r.orders[l.Key] != nil:
		return nil, fmt.Errorf("its key was used before, or is none")
	case !s.Capped:
		return nil, fmt.Errorf("%s has no cap in %s", l.Debtor, l.Currency)
	}
	r.orders[l.Key] = &order{line: *l, account: a, waits: l.Kind == "cap-proposed"}
	return s, nil
}

func (r *recomputing) proposeCap(l *line) error {
	_, err := r.ordered(l)
	if err == nil && (l.Maker == "" || l.Checker != "" || l.Minor < 0) {
		err = fmt.Errorf("a cap of %d, proposed by %q", l.Minor, l.Maker)
	}
	return err
}

// checkCap takes the word of a second person, who looked at the same cap.
func (r *recomputing) checkCap(l *line) error {
	o := r.orders[l.Key]
	switch {
	case o == nil || !o.waits:
		return fmt.Errorf("no cap waits under this key")
	case l.Checker == "" || strings.EqualFold(strings.TrimSpace(l.Checker), strings.TrimSpace(o.Maker)):
		return fmt.Errorf("proposed by %q, checked by %q", o.Maker, l.Checker)
	case l.Maker != o.Maker || l.Debtor != o.Debtor || l.Minor != o.Minor || l.Currency != o.Currency:
		return fmt.Errorf("entry %d proposed %d %s for %s", o.Entry, o.Minor, o.Currency, o.Debtor)
	}
	o.waits = false
	if l.Kind == "cap-rejected" {
		return nil
	}
	if at := r.capAt[o.account]; at > o.Entry {
		return fmt.Errorf("entry %d set another cap since it was proposed", at)
	}
	r.standing(o.account).Cap, r.capAt[o.account] = l.Minor, l.Entry
	return nil
}

func (r *recomputing) prefund(l *line) error {
	s, err := r.ordered(l)
	switch {
	case err != nil:
		return err
	case l.Minor <= 0:
		return fmt.Errorf("%d are no amount", l.Minor)
	case l.Kind == "deposit":
		return add(&s.Prefunding, l.Minor)
	case r.suspended[l.Debtor]:
		return fmt.Errorf("%s is suspended", l.Debtor)
	case l.Minor > s.Prefunding:
		return fmt.Errorf("%d are prefunded", s.Prefunding)
	}
	s.Prefunding -= l.Minor
	return r.within(l.Debtor, s)
}
