"""Trainers say that they are there."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("experiments", "0002_launch"),
    ]

    operations = [
        migrations.CreateModel(
            name="Trainer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="Host and process.", max_length=255, unique=True)),
                ("seen_at", models.DateTimeField()),
            ],
        ),
    ]
