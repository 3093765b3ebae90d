package settle

import (
	"cmp"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// Versions are the directory versions that there were; *schemes.Registry is one.
type Versions interface {
	Current() *schemes.Directory
	At(version uint64) (*schemes.Directory, bool)
}

// AgentOf finds who settles a window in a currency. Of one that is instructed it is
// whom the version then in force named: another agent has never heard of the ids that
// the first one may have moved money under, and would move it a second time. Of one
// that is not it is whom the version in force names; and where that has dropped the
// model, whom the latest one did that had it. Where nobody settled it then, nobody was
// asked, and the version in force decides.
func AgentOf(v Versions, s *clearing.Sheet, c tongma.Currency) (schemes.AgentID, bool) {
	current := v.Current()
	if current == nil {
		return "", false
	}
	from := current
	if then, ok := v.At(s.Directory); ok {
		from = then
	}
	if d := naming(v, from, func(d *schemes.Directory) bool { _, ok := d.SettlementModel(s.Model); return ok }); d != nil {
		if a, ok := d.AgentFor(s.Model, c); ok {
			return a.ID, true
		}
	}
	if a, ok := current.AgentFor(s.Model, c); ok {
		return a.ID, true
	}
	return "", false
}

// Naming returns the version by which an agent is spoken to: the one in force, or if
// that has dropped it, the latest one that named it; nil if none ever did.
func Naming(v Versions, agent schemes.AgentID) *schemes.Directory {
	return naming(v, v.Current(), func(d *schemes.Directory) bool { _, ok := d.Agent(agent); return ok })
}

// naming returns the latest version, not later than from, that has what is looked for.
func naming(v Versions, from *schemes.Directory, has func(*schemes.Directory) bool) *schemes.Directory {
	for d := from; d != nil; {
		if has(d) {
			return d
		}
		before, ok := v.At(d.Version() - 1)
		if !ok {
			return nil
		}
		d = before
	}
	return nil
}

// DirectoryOf returns the version that messages about a window are made by: the one in
// force, unless it gives the window's model to nobody, or to another agent than settles it.
func (s *Settler) DirectoryOf(sheet *clearing.Sheet, c tongma.Currency) *schemes.Directory {
	current := s.opts.Directory()
	if s.opts.Past == nil {
		return current
	}
	id, ok := AgentOf(s.opts.Past, sheet, c)
	if !ok {
		return current
	}
	by := func(d *schemes.Directory) bool { a, ok := d.AgentFor(sheet.Model, c); return ok && a.ID == id }
	if by(current) {
		return current
	}
	from, ok := s.opts.Past.At(sheet.Directory)
	if !ok {
		from = current
	}
	return cmp.Or(naming(s.opts.Past, from, by), current)
}
