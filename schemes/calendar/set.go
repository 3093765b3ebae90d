package calendar

import (
	"slices"
	"time"

	"github.com/tongma/tongma"
)

// Set is all calendars of an installation with all their versions, which
// currency and which settlement agent keeps which, and the schedules. It never
// changes: a holiday that is announced late is a new version of its calendar, in
// a new source that holds the old versions too.
type Set struct {
	hash       [32]byte
	name       string
	versions   map[string][]*Calendar // oldest first
	currencies map[tongma.Currency]string
	agents     map[AgentID]string
	schedules  map[string]*Schedule
}

// Hash returns the SHA-256 of the source.
func (s *Set) Hash() [32]byte { return s.hash }

// Name returns what the set calls itself, or "".
func (s *Set) Name() string { return s.name }

// Calendar returns the version of a calendar that is in force at an instant.
func (s *Set) Calendar(id string, at time.Time) (*Calendar, error) {
	versions := s.versions[id]
	if len(versions) == 0 {
		return nil, &Error{Op: "set", Fault: Unknown, Calendar: id}
	}
	return pick(versions, at)
}

// Versions returns all versions of a calendar, oldest first; none if there is no
// such calendar.
func (s *Set) Versions(id string) []*Calendar { return slices.Clone(s.versions[id]) }

// Calendars returns the names of all calendars, in order.
func (s *Set) Calendars() []string { return sortedKeys(s.versions) }

// CalendarOf names the calendar that a currency keeps.
func (s *Set) CalendarOf(c tongma.Currency) (string, bool) {
	id, ok := s.currencies[c]
	return id, ok
}

// Good returns the days that are good for all of the given currencies and agents
// by the versions in force at an instant. A currency or agent without a calendar
// is an error (Unknown): it has no day that is known to be good.
func (s *Set) Good(at time.Time, currencies []tongma.Currency, agents []AgentID) (Good, error) {
	var good Good
	add := func(kind, name, id string, known bool) error {
		if !known {
			return &Error{Op: "set", Fault: Unknown, Detail: kind + " " + name}
		}
		c, err := s.Calendar(id, at)
		if err == nil && !slices.Contains(good, c) {
			good = append(good, c)
		}
		return err
	}
	for _, c := range currencies {
		id, ok := s.currencies[c]
		if err := add("currency", c.Code(), id, ok); err != nil {
			return nil, err
		}
	}
	for _, a := range agents {
		id, ok := s.agents[a]
		if err := add("agent", string(a), id, ok); err != nil {
			return nil, err
		}
	}
	return good, nil
}

// Schedule finds a schedule by its name.
func (s *Set) Schedule(id string) (*Schedule, bool) {
	found, ok := s.schedules[id]
	return found, ok
}

// Schedules returns all schedules, by name.
func (s *Set) Schedules() []*Schedule {
	out := make([]*Schedule, 0, len(s.schedules))
	for _, id := range sortedKeys(s.schedules) {
		out = append(out, s.schedules[id])
	}
	return out
}

func sortedKeys[K ~string, V any](m map[K]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, string(k))
	}
	slices.Sort(keys)
	return keys
}
