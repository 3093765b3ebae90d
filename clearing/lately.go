package clearing

// lately is what was looked up lately: in a switch the same few names and accounts are
// meant again and again. A name keeps its number, and an account its place.
type lately struct {
	names    [lateNames]lateName
	accounts [lateNames]lateAccount
}

const lateNames = 64 // a power of two

type lateName struct {
	name   string // or "": nothing yet
	number uint16
}

type lateAccount struct {
	key accountKey
	at  *account // or nil: nothing yet
}

// known returns the number of a name; false if it has none.
func (b *Book) known(name string) (uint16, bool) {
	if name == "" {
		return noName, true
	}
	place := uint(len(name))
	for _, c := range [...]byte{name[0], name[len(name)/2], name[len(name)-1]} {
		place = place*31 + uint(c)
	}
	last := &b.lately.names[place%lateNames]
	if last.name == name {
		return last.number, true
	}
	n, ok := b.numbers[name]
	if ok {
		*last = lateName{b.names[n], n}
	}
	return n, ok
}

// accountAt returns an account, or nil if there is none.
func (b *Book) accountAt(k accountKey) *account {
	last := &b.lately.accounts[(uint(k.participant)+uint(k.currency))%lateNames]
	if last.at == nil || last.key != k {
		a := b.accounts[k]
		if a == nil {
			return nil
		}
		*last = lateAccount{k, a}
	}
	return last.at
}
