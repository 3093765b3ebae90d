package settle

import (
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// methodOf is a directory's method as the books name it.
func methodOf(m schemes.Method) calendar.Model {
	return [...]calendar.Model{calendar.Multilateral, calendar.Bilateral, calendar.Gross}[m%3]
}
