package main

import (
	"netsplit/kit/lesson"
	"netsplit/lessons"
)

// loadCourse reads the lessons that this binary carries.
func loadCourse() (*lesson.Course, error) {
	return lesson.Load(lesson.Sources{Lessons: lessons.FS})
}
