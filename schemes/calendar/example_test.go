package calendar_test

import (
	"fmt"
	"time"

	"github.com/tongma/tongma/schemes/calendar"
)

// The cut-offs around a half day that is worked in exchange for a holiday: the
// night's moves to the closing, and the two before it are left out.
func Example() {
	set, err := calendar.Parse(calendar.Sandbox())
	if err != nil {
		fmt.Println(err)
		return
	}
	schedule, _ := set.Schedule("cny-net")
	after := time.Date(2026, 2, 13, 10, 0, 0, 0, time.UTC)
	for range 3 {
		c, err := schedule.Next(after)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(c)
		after = c.Instant
	}
	// Output:
	// 2026-02-13 23:00:00 +08:00 Asia/Shanghai night, settles 2026-02-14
	// 2026-02-14 10:30:00 +08:00 Asia/Shanghai morning, settles 2026-02-14
	// 2026-02-14 12:30:00 +08:00 Asia/Shanghai night, settles 2026-02-23 (half-day)
}
