from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("checking", "0008_claiming")]

    operations = [
        migrations.AddField(
            model_name="plantederror",
            name="gate",
            field=models.JSONField(
                blank=True, help_text="What the gate says of the altered text; null: not asked.", null=True
            ),
        ),
    ]
